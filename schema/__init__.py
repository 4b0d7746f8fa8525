"""The GraphQL surface, a file per noun: its types, inputs, queries, mutations and subscriptions."""

"""The service's memory and its background work: no GraphQL, no HTTP, no torch."""

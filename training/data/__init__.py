"""From a dataset to rows of tokens."""

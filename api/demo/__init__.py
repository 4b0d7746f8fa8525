"""`make demo`: the whole way from a base model to an exported version, on one machine."""

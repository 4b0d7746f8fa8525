"""GraphQL of datasets."""

"""GraphQL of training jobs."""

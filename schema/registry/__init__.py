"""GraphQL of bases, versions, and what is made of them."""

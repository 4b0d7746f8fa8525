"""The database's history: reviewed by hand, never edited once released."""

"""Which workers there are, and what each of them has."""

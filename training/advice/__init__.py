"""What may be said of a run before it starts, beyond what cannot run: rules, by what they look at."""

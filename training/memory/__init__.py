"""What a run will hold, by component, before it holds it; and what it held."""

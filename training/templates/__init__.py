"""Chat templates: those that can be chosen by name, those that users write, and their use in a run."""

"""The machine-learning library: a config and a folder in, files and events out."""

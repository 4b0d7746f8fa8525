"""The ways to train: which weights move, what they are stored in, and what moves them."""

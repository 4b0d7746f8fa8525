"""Optimizer steps and epochs, what is kept of them, and how they are gone on with."""

"""Tests of what is said of a run before it starts."""

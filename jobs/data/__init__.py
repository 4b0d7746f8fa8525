"""Datasets: how they come in, what is known of them, and how one is made of another."""

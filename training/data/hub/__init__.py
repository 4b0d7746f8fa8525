"""Datasets of the Hugging Face hub: which files a split has, and how they get here."""

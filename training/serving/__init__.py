"""Answering with a trained model, word by word, out of a process that stays warm."""

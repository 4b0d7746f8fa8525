"""Ingest and tokenising, beside the libraries others prepare their data with."""

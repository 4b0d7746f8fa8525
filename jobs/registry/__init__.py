"""Bases and versions: registered, measured, tried, activated, exported."""

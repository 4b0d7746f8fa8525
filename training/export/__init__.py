"""Exporters: one module a format, and the parity check every export must pass."""

"""A user's file on its way into a dataset: looked at, mapped, written as canonical records."""

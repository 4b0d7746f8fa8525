"""Questions about how data becomes tokens, answered at once by a warm process without torch."""

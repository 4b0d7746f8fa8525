"""What speaks HTTP, and what is typed in a shell."""

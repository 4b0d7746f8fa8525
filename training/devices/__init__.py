"""What a run computes on, how many of them, and how they work as one."""

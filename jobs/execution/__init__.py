"""What a worker does: it claims work, has it done, and takes its result."""

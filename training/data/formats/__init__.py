"""What a row means: which column plays which part, and the record it becomes."""

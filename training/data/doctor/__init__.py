"""What is wrong, odd or worth knowing in a dataset, told before a run is paid for.

`examination` looks at canonical records, `rows` at what they become in tokens, `leaks` at two sides
of a split; all give a `Report`. `strategies` then says, exactly, which records a run keeps.
"""

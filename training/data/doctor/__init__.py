"""What is wrong, odd or worth knowing in a dataset, told before a run is paid for.

`examination` looks at canonical records, `rows` at what they become in tokens, `leaks` at two sides
of a split. `strategies` says from a report what dropping, truncating or refusing would do, and
`application` does it. `checks`, `report` and `strategies` need no numpy: the service reads those.
"""

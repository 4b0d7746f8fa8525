"""What a user's file is, and its rows, one by one: JSONL, JSON, CSV, Parquet, gzip and zstd."""

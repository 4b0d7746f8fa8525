"""The laptop mode: Redis, API and worker from one command, and none of them left behind."""

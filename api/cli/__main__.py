"""`python -P -m api.cli`: the same as `tunery`."""

from api.cli import main

main()

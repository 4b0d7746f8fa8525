"""`python -P -m api.demo`."""

from api.demo.command import main

main()

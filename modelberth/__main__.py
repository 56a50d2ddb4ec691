"""`python -m modelberth`."""

from modelberth.cli import main

main()

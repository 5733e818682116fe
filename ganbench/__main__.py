"""`python -m ganbench` is the command `ganbench`."""

from ganbench.cli import main

main()

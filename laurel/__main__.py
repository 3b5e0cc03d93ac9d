"""`python -m laurel` is `laurel`."""

from laurel.cli import main

main()

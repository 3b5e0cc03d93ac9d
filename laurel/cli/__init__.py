"""The command line. Each module holds the commands of one subject; this one puts them together."""

import sys


def main() -> None:
    """Run `laurel`."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run by any interpreter
        sys.exit(f"Laurel needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    from .app import run

    run()

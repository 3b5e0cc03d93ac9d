"""Programs as files."""

from pathlib import Path

from contracts.program import Program

from .installation import Failure


def read_program(path: Path) -> Program:
    """The program in a file. Raises Failure with everything that is wrong, a line each."""
    return read_advised(path)[0]


def read_advised(path: Path) -> tuple[Program, list[str]]:
    """The program in a file, and what is unwise in it, a line each. Raises Failure with everything that is wrong."""
    from console.document import advice_of, read

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Failure(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}.") from error
    reading = read(text)
    if reading.program is None:
        raise Failure("\n".join(f"{path}: {finding}" for finding in reading.findings))
    return reading.program, [f"{path}: {finding}" for finding in advice_of(reading)]

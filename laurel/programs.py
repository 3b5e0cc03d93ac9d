"""Programs as files."""

from pathlib import Path

from contracts.program import Program

from .installation import Failure


def read_program(path: Path) -> Program:
    """The program in a file. Raises Failure with everything that is wrong, a line each."""
    from console.document import check

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Failure(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}.") from error
    program, findings = check(text)
    if program is None:
        raise Failure("\n".join(f"{path}: {finding}" for finding in findings))
    return program

"""Whether a version of a program may be published, given those that are already."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from contracts.program import Program, commitments, faults_of_new

NOTICE = timedelta(seconds=60)
"""A version takes effect at least so long after its publication, so that every service knows it by then."""
UNSENT_SECONDS_MAX = 5.0
"""What waits for longer to be sent tells that nothing is: the notice would run out before anybody knows."""


@dataclass(frozen=True)
class RefusalError(Exception):
    """The version must not be published; `text` says why and what to do."""

    reason: Literal["other_content", "not_newer", "too_soon", "seed_used", "ignored", "too_large", "stuck"]
    text: str


def judge(
    document: Program, known: Mapping[int, str], earlier: Iterable[Program], *, now: datetime, backdate: bool
) -> Literal["new", "known"]:
    """`known` holds the hash of each version published so far, `earlier` their documents. Raises RefusalError.

    Publishing the same again changes nothing, however late: it is what a caller does who got no answer.
    """
    version = document.version
    if version in known:
        if known[version] == document.hash():
            return "known"
        raise RefusalError(
            "other_content",
            f"version {version} of {document.id} is published with other content, and what is published never "
            f"changes: publish yours as version {max(known) + 1}",
        )
    latest = max(known, default=0)
    if version < latest:
        raise RefusalError(
            "not_newer", f"version {latest} of {document.id} is published: yours must be {latest + 1} or more"
        )
    earliest = now + NOTICE
    if document.effective_from < earliest and not backdate:
        raise RefusalError(
            "too_soon",
            f"effective_from is {document.effective_from.isoformat()}, but a version takes effect {NOTICE.seconds} "
            f"seconds after it is published at the earliest: set it to {earliest.isoformat(timespec='seconds')} or "
            "later, or publish with backdate=true, which touches only orders that were not judged yet",
        )
    if found := faults_of_new(document):
        raise RefusalError("ignored", "; ".join(f"{fault.field}: {fault.text}" for fault in found))
    _check_seeds(document, earlier)
    return "new"


def check_sent(unsent_seconds: float) -> None:
    """Raises RefusalError when what was published before, the oldest so long ago, does not leave."""
    if unsent_seconds > UNSENT_SECONDS_MAX:
        raise RefusalError(
            "stuck",
            f"nothing was published: what the console has to send waits for {unsent_seconds:.0f} seconds already, and "
            "services would learn of this version too late. `laurel doctor` says what is wrong; then publish it again",
        )


def _check_seeds(document: Program, earlier: Iterable[Program]) -> None:
    """A seed that was shown for one thing would tell what it decides of another, and could never be shown again."""
    users = {commitment: user for program in earlier for commitment, user in _seeds(program)}
    for commitment, user in _seeds(document):
        if (before := users.get(commitment, user)) != user:
            raise RefusalError(
                "seed_used",
                f"the commitment of {user} was that of {before} in an earlier version, and one seed decides one "
                "thing: `laurel seed` makes another",
            )


def _seeds(program: Program) -> Iterator[tuple[str, str]]:
    """Commitments, and what they decide."""
    for path, item_id, commitment in commitments(program):
        yield commitment, f"{str(path[0]).removesuffix('s')} {item_id}"

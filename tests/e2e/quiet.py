"""Waits until a Laurel has nothing left to do: nothing on its way, and nothing due that no event announces."""

import asyncio
import time
from datetime import datetime, timedelta

import psycopg

from contracts.topics import INGEST, NOTIFICATION, POINTS, TIER
from laurel.demo.quiet import on_its_way
from laurel.installation import State

LOOKS = 3
"""So many times in a row nothing must be left, since what leaves one service is not yet with the next."""
DUE = {
    INGEST: {"members not decided": "SELECT count(*) FROM members WHERE undecided"},
    POINTS: {
        "accounts due": "SELECT count(*) FROM accounts WHERE due_at <= now()",
        "members to be judged again": "SELECT count(*) FROM members WHERE continuation IS NOT NULL",
        "claims not judged": "SELECT count(*) FROM claims WHERE program_version IS NULL",
    },
    TIER: {"standings due": "SELECT count(*) FROM members WHERE next_change_at <= now()"},
}


def wait_until_quiet(state: State, *, seconds_max: float) -> None:
    """Return when all is quiet. Raises AssertionError that names everything left after `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    looks = 0
    while looks < LOOKS:
        left = [*asyncio.run(on_its_way(state)), *_due(state)]
        looks = 0 if left else looks + 1
        assert time.monotonic() < deadline, f"not quiet after {seconds_max:.0f} s: {'; '.join(left) or 'only just'}"
        time.sleep(0.4)


def _due(state: State) -> list[str]:
    left = []
    for service, questions in DUE.items():
        with psycopg.connect(state.databases[service]) as connection:
            for what, question in questions.items():
                row = connection.execute(question.encode()).fetchone()
                if row and row[0]:
                    left.append(f"{service}: {row[0]} {what}")
    return left


def give_back_leases(state: State, killed_at: datetime, lease: timedelta) -> None:
    """Let messages go that a dead process had claimed: nobody sends them, so their lease need not be waited for."""
    with psycopg.connect(state.databases[NOTIFICATION]) as connection:
        connection.execute(
            """UPDATE messages SET next_attempt_at = now()
               WHERE state = 'due' AND attempts > 0 AND next_attempt_at <= %s""",
            (killed_at + lease,),
        )

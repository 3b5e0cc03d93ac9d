"""Claims that a batch is about, what members' claims count for challenges, and the limits that these can touch."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from contracts.activities import ActivityRecordedV1
from contracts.orders import OrderChangedV1
from contracts.program import Program
from shared.transaction import Transaction

from ..domain.claims import Claim, order_key
from ..domain.concluding import use_key
from ..domain.limits import LIMITED, window_of
from ..domain.lots import ClaimKey
from ..domain.rulebook import Ceiling, Rulebook, rulebook
from ..domain.standing import Span
from ..domain.world import Counted, Place, Unread, UseKey, World, believed
from .chance import load_seeds
from .locking import load_uses
from .rows import CLAIMS, columns, to_claim, to_counts

CLAIMS_MAX = 500
"""Claims that one transaction judges again besides those of its batch."""
_KEYS = (
    "JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (p, k, i)"
    " ON (c.program_id, c.kind, c.claim_id) = (k.p, k.k, k.i)"
)


def key_of(event: OrderChangedV1 | ActivityRecordedV1) -> ClaimKey:
    """The claim that an event is about."""
    if isinstance(event, OrderChangedV1):
        return order_key(event.source, event.order_id)
    return ClaimKey("activity", f"{event.source}:{event.activity_id}")


async def load_told(tx: Transaction, world: World, events: Sequence[OrderChangedV1 | ActivityRecordedV1]) -> None:
    """The claims that the batch tells something new of. Repeats cost no more than a look at their version."""
    told: dict[tuple[str, str, str], tuple[int, datetime]] = {}
    for event in events:
        key = (event.program_id, *key_of(event))
        recorded_at = believed(event.recorded_at, world.now)
        version, first = told.get(key, (event.revision, recorded_at))
        told[key] = max(version, event.revision), min(first, recorded_at)
    if not told:
        return
    rows = await tx.connection.fetch(
        "SELECT c.program_id, c.kind, c.claim_id, c.version, c.first_recorded_at FROM claims c " + _KEYS,
        *columns(told, 3),
    )
    changed = set()
    for program_id, kind, claim_id, version, first in rows:
        newest, earliest = told[program_id, kind, claim_id]
        if newest > version or earliest < first:
            changed.add((program_id, kind, claim_id))
        else:
            world.stale.add((program_id, ClaimKey(kind, claim_id)))
    await load_keys(tx, world, changed)


async def load_keys(tx: Transaction, world: World, keys: Iterable[tuple[str, str, str]]) -> None:
    """Claims by their identity."""
    wanted = sorted(set(keys))
    if wanted:
        keep(world, await tx.connection.fetch(CLAIMS + _KEYS, *columns(wanted, 3)))


async def load_order(tx: Transaction, world: World, claim_id: str) -> None:
    """An order of the loaded accounts."""
    rows = await tx.connection.fetch(
        CLAIMS + "WHERE c.program_id = ANY($1::text[]) AND c.kind = 'order' AND c.claim_id = $2"
        " AND c.member_id = ANY($3::uuid[])",
        sorted({account.program_id for account in world.accounts.values()}), claim_id,
        sorted({*world.accounts, *world.aliases}),
    )  # fmt: skip
    keep(world, rows)


async def load_spans(tx: Transaction, world: World, spans: Mapping[UUID, Span]) -> None:
    """The orders and activities inside, as many as one transaction may judge; `world.unread` tells whose are more."""
    if not spans:
        return
    wanted = [
        (member_id, *span) for account_id, span in sorted(spans.items()) for member_id in people(world, account_id)
    ]
    rows = await tx.connection.fetch(
        CLAIMS + "JOIN unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS s (member_id, start, until)"
        " ON s.member_id = c.member_id AND c.at >= s.start AND c.at <= coalesce(s.until, 'infinity')"
        " WHERE c.kind IN ('order', 'activity') ORDER BY c.member_id, c.at, c.kind, c.claim_id LIMIT $4",
        [row[0] for row in wanted], [row[1] for row in wanted], [row[2] for row in wanted], CLAIMS_MAX,
    )  # fmt: skip
    keep(world, rows)
    if len(rows) == CLAIMS_MAX:
        last = rows[-1]
        for member_id, start, until in wanted:
            if member_id == last["member_id"]:
                world.unread[world.owner(member_id)] = Unread(Place(last["at"], last["kind"], last["claim_id"]), until)
            elif member_id > last["member_id"]:
                world.unread[world.owner(member_id)] = Unread(Place(start, "", ""), until)


async def load_kinds(tx: Transaction, world: World, members: Iterable[UUID], kinds: Sequence[str]) -> None:
    """All claims of these kinds."""
    ids = sorted(member_id for account_id in members for member_id in people(world, account_id))
    if ids:
        keep(
            world,
            await tx.connection.fetch(
                CLAIMS + "WHERE c.member_id = ANY($1::uuid[]) AND c.kind = ANY($2::text[])", ids, list(kinds)
            ),
        )


def people(world: World, account_id: UUID) -> list[UUID]:
    """The member of an account, and those who were merged into it."""
    return [account_id, *sorted(loser for loser, owner in world.aliases.items() if owner == account_id)]


async def load_merged(tx: Transaction, world: World) -> None:
    """Who was merged into the accounts: what they did counts for these."""
    rows = await tx.connection.fetch(
        "WITH RECURSIVE merged (member_id, owner) AS ("
        "  SELECT member_id, merged_into FROM members WHERE merged_into = ANY($1::uuid[])"
        "  UNION SELECT m.member_id, g.owner FROM members m JOIN merged g ON m.merged_into = g.member_id)"
        " SELECT member_id, owner FROM merged",
        sorted(world.accounts),
    )
    for row in rows:
        world.aliases.setdefault(row["member_id"], world.owner(row["owner"]))


async def load_counted(tx: Transaction, world: World, members: Iterable[UUID]) -> None:
    """What counts for challenges, and what these gave: only where some version of the program has challenges."""
    ids = [
        member_id for account_id in sorted(members) if _has_challenges(world, world.accounts[account_id].program_id)
        for member_id in people(world, account_id)
    ]  # fmt: skip
    if not ids:
        return
    rows = await tx.connection.fetch(
        "SELECT kind, claim_id, member_id, at, program_version, counts FROM claims"
        " WHERE member_id = ANY($1::uuid[]) AND counts IS NOT NULL",
        ids,
    )
    for row in rows:
        all_of = world.counted.setdefault(world.owner(row["member_id"]), {})
        key = ClaimKey(row["kind"], row["claim_id"])
        all_of[key] = Counted(row["at"], row["program_version"], to_counts(row["counts"]))
    rows = await tx.connection.fetch(
        CLAIMS + "WHERE c.member_id = ANY($1::uuid[]) AND c.kind = 'challenge'", ids
    )  # fmt: skip
    keep(world, rows)
    await load_seeds(tx, world)


def _has_challenges(world: World, program_id: str) -> bool:
    return any(event.document.challenges for event in world.programs.versions(program_id))


def keep(world: World, rows: Iterable[asyncpg.Record]) -> None:
    """Put claims into the world, once."""
    for row in rows:
        key = (row["program_id"], ClaimKey(row["kind"], row["claim_id"]))
        if key not in world.claims:
            world.keep(row["program_id"], to_claim(row))
            world.stored.add(key)


async def load_claim_uses(
    tx: Transaction, world: World, events: Iterable[OrderChangedV1 | ActivityRecordedV1] = ()
) -> None:
    """What was counted against every limit that the loaded claims, and those of these events, can touch."""
    keys: set[UseKey] = set()
    for (program_id, _), claim in world.claims.items():
        if claim.key.kind in LIMITED:
            keys |= _uses_of(world, program_id, claim)
    for event in events:
        claim = Claim(
            key=key_of(event), member_id=event.member_id, version=0, first_recorded_at=event.recorded_at, parsed=event,
            at=event.placed_at if isinstance(event, OrderChangedV1) else event.occurred_at,
        )  # fmt: skip
        keys |= _uses_of(world, event.program_id, claim)
    await load_uses(tx, world, keys)


def _uses_of(world: World, program_id: str, claim: Claim) -> set[UseKey]:
    program = _program_of(world, program_id, claim)
    if program is None or not rulebook(program).ceilings:
        return set()
    book = rulebook(program)
    account = world.accounts[world.owner(claim.member_id)]
    caps = claim.pins.get("caps", {})
    found = set()
    for ceiling in book.ceilings:
        if ceiling.per != "claim" and (ceiling.name in caps or _can_touch(book, ceiling, claim)):
            window = caps[ceiling.name][0] if ceiling.name in caps else window_of(ceiling, claim, book)
            found.add(use_key(account, ceiling, window))
    return found


def _program_of(world: World, program_id: str, claim: Claim) -> Program | None:
    if claim.program_version is not None:
        return world.programs.version(program_id, claim.program_version)
    return world.programs.in_force(program_id, claim.at)


def _can_touch(book: Rulebook, ceiling: Ceiling, claim: Claim) -> bool:
    """Whether a claim could count against a ceiling at all: what all share is locked only then."""
    if (ceiling.first and claim.at < ceiling.first) or (ceiling.last and claim.at >= ceiling.last):
        return False
    if ceiling.rules is None or claim.key.kind == "order":
        return ceiling.rules is None or not ceiling.rules <= book.activity_rules
    givers = {giver.rule.id for giver in book.activities.get(claim.facts.kind, ())}
    return bool(givers and ceiling.rules & (givers | book.multipliers))

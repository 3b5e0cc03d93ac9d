"""`laurel doctor`: what is reachable, migrated, lagging or stuck, and what to do about it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import asyncpg
import httpx
import typer
from rich.text import Text

from contracts.topics import INGEST
from laurel import installation, topics
from laurel.installation import Failure
from laurel.services import SERVICES, Entry
from shared import backlog, learning, offsets
from shared.admin import apply_topics, bounds, cluster
from shared.db import MIGRATIONS, missing_migrations

from . import say

LAG_MAX = 10_000
OUTBOX_SECONDS_MAX = 30.0
CLOCK_SECONDS_MAX = 5.0
STOPPED_NAMED = 3
EDGE_LOSES = "Raw deliveries that came after the backup are on no topic: what the archive of its log has not is lost."


@dataclass
class Finding:
    """What was found of one part: facts when all is well, faults with what to do."""

    name: str
    facts: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("doctor")(doctor)


def doctor() -> None:
    """Look at Kafka and at every service; end with 1 if anything needs somebody's hand."""
    findings = say.run(examine())
    for finding in findings:
        mark = Text("well   ", "green") if not finding.faults else Text("AILING ", "bold red")
        say.out.print(mark + Text(finding.name, "bold") + Text(f"  {', '.join(finding.facts)}", "dim"))
        for fault in finding.faults:
            say.out.print(Text(f"       {fault}"))
    if any(finding.faults for finding in findings):
        raise typer.Exit(1)


async def examine() -> list[Finding]:
    """Kafka first, then each service."""
    kafka = await _kafka()
    services = await asyncio.gather(*(_service(entry, kafka_there=not kafka.faults) for entry in SERVICES.values()))
    return [kafka, *services]


async def _kafka() -> Finding:
    address = installation.kafka()
    finding = Finding(f"Kafka at {address}")
    try:
        outcome = await apply_topics(address, topics.wanted(), check=True)
    except ConnectionError as error:
        finding.faults.append(f"{error}: start it, or set LAUREL_KAFKA.")
        return finding
    # How many partitions were chosen at install is not known here; a wrong kind of keeping is.
    finding.faults += [f"{fault}." for fault in outcome.wrong if " partitions and should have " not in fault]
    if outcome.missing:
        finding.faults.append(f"{len(outcome.missing)} topics are missing: run `laurel topics apply`.")
    finding.facts.append(f"{len(topics.wanted()) - len(outcome.missing)} topics")
    return finding


async def _service(entry: Entry, *, kafka_there: bool) -> Finding:
    finding = Finding(entry.name)
    _ask(entry, finding)
    try:
        connection = await asyncpg.connect(installation.dsn(entry), timeout=5, command_timeout=30)
    except Failure as error:
        finding.faults.append(str(error))
        return finding
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        finding.faults.append(f"Its database cannot be reached ({error}): start PostgreSQL, or check the address.")
        return finding
    try:
        missing = await missing_migrations(connection, [MIGRATIONS, entry.migrations])
        if missing:
            finding.faults.append(f"Its database lacks {', '.join(missing)}: run `laurel migrate {entry.name}`.")
            return finding
        await _database(entry, finding, connection)
        if kafka_there:
            await _restored(entry, finding, connection)
            await _lag(entry, finding, await offsets.show(connection))
    finally:
        await connection.close(timeout=5)
    return finding


def _ask(entry: Entry, finding: Finding) -> None:
    """The process itself: is it there, ready, and of one time with us?"""
    url = installation.url(entry)
    try:
        began = time.monotonic()
        answer = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False)
    except httpx.TransportError as error:
        finding.faults.append(f"Nothing answers at {url} ({type(error).__name__}): start it, and look into its log.")
        return
    finding.facts.append(f"answers in {(time.monotonic() - began) * 1000:.0f} ms")
    if not answer.is_success:
        # Stopped partitions and the breaker are told below, with what to do about them.
        why = [text for text in answer.json().get("why", []) if "stopped" not in text and "breaker" not in text]
        finding.faults += [f"It is not ready: {text}." for text in why]
    if told := answer.headers.get("date"):
        apart = abs((datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds())
        if apart > CLOCK_SECONDS_MAX:
            finding.faults.append(f"Its clock and ours are {apart:.0f} s apart: set both by NTP.")


async def _database(entry: Entry, finding: Finding, connection: asyncpg.Connection) -> None:
    waiting = await backlog.read(connection)
    finding.facts.append(f"outbox {waiting.outbox_rows}")
    if waiting.outbox_seconds > OUTBOX_SECONDS_MAX:
        finding.faults.append(
            f"{waiting.outbox_rows} events have waited up to {waiting.outbox_seconds:.0f} s to be published: "
            "is Kafka reachable from the service? Its log says why the relay does not get on."
        )
    if waiting.letters:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in waiting.letters.items())
        finding.faults.append(f"Dead letters: {kinds}. See `laurel dlq list {entry.name}`.")
    if waiting.breaker:
        finding.faults.append(
            f"Its breaker is open: {waiting.breaker}. Mend the cause, then `laurel breaker clear {entry.name}`."
        )
    apart = abs((datetime.now(UTC) - waiting.at).total_seconds())
    if apart > CLOCK_SECONDS_MAX:
        finding.faults.append(f"Its database's clock and ours are {apart:.0f} s apart: set both by NTP.")


async def _restored(entry: Entry, finding: Finding, connection: asyncpg.Connection) -> None:
    """Whether the service published what its database does not know, and whether Kafka still has it."""
    address = installation.kafka()
    try:
        missing = await learning.missing(connection, address, entry.name, await cluster(address))
    except ConnectionError:
        return  # A topic is missing, which is told of Kafka.
    if missing.gone:
        count = sum(end - first for first, end in missing.gone.values())
        finding.faults.append(
            f"Its database is from a backup that is older than what Kafka keeps: {count} records that it had published "
            "are nowhere any more, and it does not start. Restore a newer backup; without one, "
            f"`laurel offsets accept {entry.name} --published` says what giving them up means."
        )
    elif missing.readable:
        records = ", ".join(f"{count} records of {topic}" for topic, count in missing.readable.items())
        finding.faults.append(
            f"Its database was restored from a backup: it does not know {records}, which it had published. Start "
            "the service: it reads them back before it does anything else, and then its inputs again. "
            + (EDGE_LOSES if entry.name == INGEST else "Nothing has to be done by hand.")
        )


async def _lag(entry: Entry, finding: Finding, rows: Sequence[asyncpg.Record]) -> None:
    there = await bounds(installation.kafka(), [(row["topic"], row["partition"]) for row in rows])
    lag = 0
    for row in rows:
        name = f"{row['topic']}-{row['partition']}"
        found = there.get((row["topic"], row["partition"]))
        if found is None:
            finding.faults.append(f"{name} is gone from Kafka: restore the topic, or run `laurel topics apply`.")
            continue
        lag += max(0, found[1] - row["position"])
    stopped = {f"{row['topic']}-{row['partition']}": row["stopped_why"] for row in rows if row["stopped_why"]}
    for name, why in list(stopped.items())[: STOPPED_NAMED if len(stopped) <= STOPPED_NAMED else 1]:
        finding.faults.append(
            f"{name} is stopped: {why}. Bring the records back, or go on without them by "
            f"`laurel offsets accept {entry.name} {name}`."
        )
    if len(stopped) > STOPPED_NAMED:
        finding.faults.append(
            f"So are {len(stopped) - 1} more. If Kafka's data was lost: `laurel republish` sends again what is known, "
            f"then `laurel offsets accept {entry.name} --all`."
        )
    if rows:
        finding.facts.append(f"lag {lag}")
    if lag > LAG_MAX:
        finding.faults.append(f"It lags {lag} records behind: start more of it, or look for what slows it in its log.")

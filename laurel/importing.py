"""Members of an earlier program, read from a file and brought in over the services' own HTTP.

A member is brought in whole or not at all: one bad row keeps all rows of that member back, to be mended and sent again.
"""

import asyncio
import csv
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
from pydantic import Field, ValidationError, model_validator

from contracts.base import Instant, Model, ShortText, Slug

from .installation import Failure

Pause = Callable[[], Awaitable[None]]
TRIES_MAX = 120
"""So often a service is asked until it has heard of a member: with the pauses, about a minute."""
TOGETHER = 16


class Row(Model):
    """One line: who, and one lot or one count of theirs, or both. Empty cells are as if they were not there."""

    customer_id: ShortText | None = None
    email: Annotated[str, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    points: Annotated[int, Field(gt=0, le=2**53)] | None = None
    expires_at: Instant | None = None
    activates_at: Instant | None = None
    earned_at: Instant | None = None
    tier_points: Annotated[int, Field(ge=0, le=2**53)] | None = None
    challenge_id: Slug | None = None
    count: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Row":
        if self.customer_id is None and self.email is None:
            raise ValueError("a row needs a customer_id or an email")
        if (self.challenge_id is None) != (self.count is None):
            raise ValueError("challenge_id and count come together")
        if self.points is None and (self.expires_at or self.activates_at or self.earned_at):
            raise ValueError("a lot needs points")
        return self


class Line(NamedTuple):
    """A row as it stands in the file."""

    number: int
    cells: dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """What keeps a line back: the column (if it is one), and what to do."""

    line: Line
    column: str
    why: str

    def __str__(self) -> str:
        where = f", column {self.column}" if self.column else ""
        return f"line {self.line.number}{where}: {self.why}"


@dataclass
class Newcomer:
    """A member with all their rows."""

    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @property
    def customer(self) -> dict[str, str]:
        """How the shop names them."""
        row = self.rows[0]
        return {
            name: value for name, value in (("customer_id", row.customer_id), ("email", row.email)) if value is not None
        }

    def body(self, import_id: str, as_of: datetime) -> dict[str, Any]:
        """What points-accrual is told."""
        lots = [
            row.model_dump(
                mode="json", exclude_none=True, include={"points", "expires_at", "activates_at", "earned_at"}
            )
            for row in self.rows if row.points is not None
        ]  # fmt: skip
        counts = [{"challenge_id": row.challenge_id, "value": row.count} for row in self.rows if row.challenge_id]
        return {
            "import_id": import_id, "as_of": as_of.isoformat(), "lots": lots, "counts": counts,
            "tier_points": sum(row.tier_points or 0 for row in self.rows),
        }  # fmt: skip

    def by_expiry(self) -> Counter[str]:
        """Points by the day on which they run out."""
        found: Counter[str] = Counter()
        for row in self.rows:
            found[_day(row.expires_at)] += row.points or 0
        return +found


def _day(moment: datetime | None) -> str:
    return moment.date().isoformat() if moment else "never"


def read(path: Path) -> Iterator[Line]:
    """The rows of a CSV file with a header, or of a file with one JSON object a line. Raises `Failure`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                reader = csv.DictReader(file, restkey="", restval=None, strict=True)
                yield from (Line(reader.line_num, cells) for cells in reader)
            else:
                for number, text in enumerate(file, start=1):
                    if text.strip():
                        cells = json.loads(text)
                        yield Line(number, cells if isinstance(cells, dict) else {"": cells})
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise Failure(f"{path} cannot be read ({error}); it is CSV in UTF-8, or one JSON object a line.") from error


def gather(lines: Iterable[Line], now: datetime) -> tuple[list[Newcomer], list[Bad]]:
    """Rows by member. What is wrong with one row keeps back all of that member's."""
    people: dict[str, Newcomer] = {}
    bad: list[Bad] = []
    kept_back: set[str] = set()
    for line in lines:
        cells = {name: value for name, value in line.cells.items() if value not in (None, "") and name != "problem"}
        key = str(cells.get("customer_id") or cells.get("email"))
        person = people.setdefault(key, Newcomer())
        person.lines.append(line)
        faults = list(_faults(line, cells, person, now))
        if faults:
            bad += faults
            kept_back.add(key)
    told = {fault.line.number for fault in bad}
    for key in kept_back:
        bad += [
            Bad(line, "", "kept back with another row of this member") for line in people[key].lines
            if line.number not in told
        ]  # fmt: skip
    good = [person for key, person in people.items() if key not in kept_back]
    return good, sorted(bad, key=lambda fault: fault.line.number)


def _faults(line: Line, cells: dict[str, Any], person: Newcomer, now: datetime) -> Iterator[Bad]:
    # Cells of CSV are text; JSON brings numbers of its own.
    numbers = {name: int(value) for name, value in cells.items() if name in _NUMBERS and _DIGITS.fullmatch(str(value))}
    try:
        row = Row.model_validate_json(json.dumps(cells | numbers))
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            yield Bad(line, ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))
        return
    if row.earned_at is not None and row.earned_at > now:
        yield Bad(line, "earned_at", "is in the future; leave it out, or say when the points were earned")
    if person.rows and (row.email or person.rows[0].email) != person.rows[0].email:
        yield Bad(line, "email", "differs from that of an earlier row of this member; write it the same in all")
    if row.challenge_id and any(row.challenge_id == known.challenge_id for known in person.rows):
        yield Bad(line, "challenge_id", "was counted in an earlier row of this member; write it once")
    person.rows.append(row)


_NUMBERS = ("points", "tier_points", "count")
_DIGITS = re.compile(r"\s*[0-9]{1,20}\s*")


@dataclass
class Report:
    """What became of an import."""

    brought: int = 0
    in_file: Counter[str] = field(default_factory=Counter)
    in_ledger: Counter[str] = field(default_factory=Counter)
    bad: list[Bad] = field(default_factory=list)


@dataclass
class Importer:
    """Brings newcomers in. The clients carry the tokens; `pause` waits until services may have heard more."""

    edge: httpx.AsyncClient
    points: httpx.AsyncClient
    source: str
    import_id: str
    as_of: datetime
    pause: Pause = field(default=lambda: asyncio.sleep(0.5))

    async def bring_all(self, people: list[Newcomer], told: Callable[[int], None]) -> Report:
        """All of them, some at once. `told` is called with how many are done."""
        report = Report()
        for start in range(0, len(people), TOGETHER):
            some = people[start : start + TOGETHER]
            for person, why in zip(
                some, await asyncio.gather(*(self._bring(item, report) for item in some)), strict=True
            ):
                if why is not None:
                    report.bad += [Bad(line, "", why) for line in person.lines]
            told(start + len(some))
        return report

    async def _bring(self, person: Newcomer, report: Report) -> str | None:
        """Returns why it was not done."""
        told = {"source": self.source, "customer": person.customer, "enrol": True, "updated_at": self.as_of.isoformat()}
        if not (answer := await self.edge.post("/v1/members", json=told)).is_success:
            return f"order-ingest refuses: {_why(answer)}"
        params = {"source": self.source, "customer_id": person.customer["customer_id"]} if (
            "customer_id" in person.customer
        ) else {"email": person.customer["email"]}  # fmt: skip
        answer = await self._until_known(lambda: self.edge.get("/v1/members", params=params))
        if not answer.is_success:
            return f"order-ingest does not know the member after a minute: {_why(answer)}"
        path = f"/v1/members/{answer.json()['member_id']}"
        body = person.body(self.import_id, self.as_of)
        answer = await self._until_known(lambda: self.points.post(f"{path}/imports", json=body))
        if answer.status_code == httpx.codes.CONFLICT and "Idempotency-Key" in answer.text:
            return (
                f"the import {self.import_id!r} brought this member in before with other rows, which stay as they are: "
                "correct the points by an adjustment, or send what is new under another --name"
            )
        if not answer.is_success:
            return f"points-accrual refuses: {_why(answer)}"
        report.brought += 1
        report.in_file += person.by_expiry()
        lots = (await self.points.get(f"{path}/points")).raise_for_status().json()["lots"]
        for lot in lots:
            if lot["claim_kind"] == "import" and lot["claim_id"].endswith(f":{self.import_id}"):
                ends = lot["expires_at"] and datetime.fromisoformat(lot["expires_at"])
                report.in_ledger[_day(ends)] += lot["remaining"]
        return None

    async def _until_known(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """What one service is told, another hears of within a second or so."""
        answer, tries = await ask(), 1
        while answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE) and tries < TRIES_MAX:
            await self.pause()
            answer, tries = await ask(), tries + 1
        return answer


def _why(answer: httpx.Response) -> str:
    try:
        told = answer.json()
        return str(told.get("detail") or told.get("title"))
    except ValueError:
        return f"status {answer.status_code}"


def write_rejected(path: Path, bad: list[Bad]) -> Path:
    """What was not brought in, in the shape it came, each line with its problem: mend it and import it again."""
    target = path.with_name(f"{path.stem}.rejected{path.suffix}")
    whys: dict[int, list[Bad]] = {}
    for fault in bad:
        whys.setdefault(fault.line.number, []).append(fault)
    rows = [
        items[0].line.cells | {"problem": "; ".join(f"{item.column} {item.why}".strip() for item in items)}
        for _, items in sorted(whys.items())
    ]  # fmt: skip
    with target.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return target

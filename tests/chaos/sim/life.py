"""The life of one simulated process: moments with names, at each of which it can die, lose a connection or wait."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


class Died(BaseException):
    """The process ended here. Nothing in the kit may catch it: only `Exception` is caught there."""


LIFE: ContextVar["Life"] = ContextVar("LIFE")
"""Whose connections are made and whose moments pass in this task."""


@dataclass
class Plot:
    """A moment that a process of a service is to die at: the how-manieth time, over all that came one after another."""

    service: str
    moment: str
    count: int
    fired: bool = False

    def strikes(self, service: str, moment: str) -> bool:
        """Whether it is now."""
        if self.fired or (service, moment) != (self.service, self.moment):
            return False
        self.count -= 1
        self.fired = self.count == 0
        return self.fired


@dataclass
class Life:
    """One process from its start to its end."""

    name: str
    moments: list[str] = field(default_factory=list)
    """Those that passed, in order."""
    dead: str | None = None
    """Where it died."""
    faults: Counter[str] = field(default_factory=Counter)
    """What was done to it, by kind; shared with the run that it belongs to."""
    connections: list[Any] = field(default_factory=list)
    plot: Plot | None = None
    die_in: int | None = None
    """So many moments from now, whichever that is."""
    cut_in: int | None = None
    """So many statements from now the connection is lost in the middle of it."""
    commit: str | None = None
    """What becomes of the next commit: `answer lost`, `never arrived` or `cut`."""
    stall_in: int | None = None
    """So many moments from now it waits until `resume` is set."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is dead."""
    on_death: list[Callable[[], None]] = field(default_factory=list)

    def alive(self) -> None:
        """Raise where it is dead already: a dead process does nothing any more."""
        if self.dead is not None:
            raise Died(self.dead)

    def passes(self, moment: str) -> None:
        """Say that a moment is there; die if it is the one."""
        self.alive()
        self.moments.append(moment)
        if self.die_in is not None:
            self.die_in -= 1
            if self.die_in <= 0:
                self.die(moment)
        if self.plot is not None and self.plot.strikes(self.name, moment):
            self.die(moment)

    async def reaches(self, moment: str) -> None:
        """The same where it can be made to wait, as a process that the scheduler or a debugger holds up."""
        self.passes(moment)
        if self.stall_in is not None:
            self.stall_in -= 1
            if self.stall_in <= 0:
                self.stall_in = None
                self.faults["stalled"] += 1
                self.stalled.set()
                await self.resume.wait()
                self.alive()

    def die(self, moment: str) -> None:
        """End here: connections break without a word, as those of a killed process."""
        self.dead = moment
        self.faults["killed"] += 1
        self.end()
        raise Died(moment)

    def end(self) -> None:
        """Break all connections."""
        self.dead = self.dead or "ended"
        self.over.set()
        self.resume.set()
        for connection in self.connections:
            connection.terminate()
        for work in self.on_death:
            work()

    def calm(self) -> None:
        """No more faults; who waits goes on."""
        self.die_in = self.cut_in = self.commit = self.stall_in = None
        self.resume.set()

"""Which history of its database a process works on: a failover, or a restore from the log, begins another."""

from collections.abc import Callable

import asyncpg

from .published import Restored


class History:
    """Of one process. What was committed may be missing in another history, and what depends on it must not be decided
    before it was read back (see `learning`); so a process that meets another one starts anew.
    """

    def __init__(self) -> None:
        self._known: str | None = None
        self.changed: Callable[[Restored], None] = lambda _: None
        """Called for each connection that leads to another one."""

    async def check(self, connection: asyncpg.Connection) -> None:
        """For each new connection. Raises ConnectionError when it leads to another history than the first one did, or
        to a standby.
        """
        try:
            found: str = await connection.fetchval(
                "SELECT system_identifier || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
                " FROM pg_control_system()"
            )
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            raise ConnectionError("this PostgreSQL is a standby") from error
        self._known = self._known or found
        if found != self._known:
            why = f"the database goes on from another history than before: {found}, not {self._known}"
            self.changed(Restored(why))
            raise ConnectionError(why)

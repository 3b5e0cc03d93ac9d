"""The six services: where their code, migrations, database and port are. Nothing of theirs is imported before use."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from contracts.topics import CONSOLE, INGEST, NOTIFICATION, POINTS, REFERRAL, TIER
from shared.service import Context, Service
from shared.settings import Settings


@dataclass(frozen=True)
class Entry:
    """One service."""

    name: str
    package: str
    port: int
    """Of HTTP, where nothing else is said."""
    about: str

    @property
    def database(self) -> str:
        """The name of its database and of the role that owns it."""
        return self.package

    @property
    def migrations(self) -> Path:
        """The folder of its own migrations; the kit's are applied before."""
        return Path(str(import_module(self.package).__file__)).parent / "migrations"

    @property
    def settings(self) -> type[Settings]:
        """The class of its settings."""
        found: type[Settings] = getattr(self._app(), "SETTINGS", Settings)
        return found

    @property
    def build(self) -> Callable[[Context], Service]:
        """Makes the service around the resources of one process."""
        found: Callable[[Context], Service] = self._app().build
        return found

    def _app(self) -> Any:
        return import_module(f"{self.package}.app")


SERVICES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(INGEST, "order_ingest", 8101, "takes webhooks and orders, keeps identities"),
        Entry(POINTS, "points_accrual", 8102, "the ledger: earning, expiry, refunds, redemption"),
        Entry(TIER, "tier", 8103, "standings of members"),
        Entry(REFERRAL, "referral", 8104, "codes, and who brought whom"),
        Entry(NOTIFICATION, "notification", 8105, "e-mails and outgoing webhooks"),
        Entry(CONSOLE, "console", 8106, "programs"),
    )
}

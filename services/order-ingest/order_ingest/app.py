"""Wiring: what the edge consumes, publishes and serves."""

import os
import secrets
from functools import partial
from pathlib import Path

from contracts.program import ProgramBook
from contracts.topics import COMMERCE_ACTIVITIES, COMMERCE_ORDERS, INGEST, PROGRAMS
from shared.kafka import Reference
from shared.service import Context, Service, every

from . import api, deliveries, handlers, restoring, webhooks

SALT_BYTES = 32


def build(context: Context) -> Service:
    """The service around one process's resources."""
    programs = ProgramBook()
    salt = fingerprint_salt(context.settings.keys_dir)

    receiver = webhooks.Receiver(context)

    def known() -> ProgramBook:
        # A newer version may be out while Kafka is away: then moments of enrolment wait, and all else goes on.
        return programs if context.reference_current() else ProgramBook()

    async def read() -> bool:
        return await receiver.between(partial(deliveries.read_some, context, known(), salt))

    async def decide() -> bool:
        return await context.execute(partial(handlers.decide_undecided, known(), salt))

    return Service(
        name=INGEST,
        consumes=(COMMERCE_ORDERS, COMMERCE_ACTIVITIES),
        process=partial(handlers.process, programs, salt),
        handled=handlers.CONSUMED,
        adopt=restoring.adopt,
        republish=(
            partial(restoring.republish_people, salt),
            partial(restoring.republish_orders, programs),
            restoring.republish_activities,
        ),
        reference=Reference(PROGRAMS, programs.add),
        routes=api.routes(context, receiver),
        stores_first=True,
        tasks=(
            partial(every, context, webhooks.DELIVERIES, seconds=1.0, work=read),
            partial(every, context, "undecided", seconds=5.0, work=decide),
            partial(every, context, "purge", seconds=600.0, work=partial(deliveries.purge_some, context)),
        ),
    )


def fingerprint_salt(folder: Path) -> bytes:
    """The installation's salt, made once; with another one no fingerprint would ever match again."""
    path = folder / "fingerprint.salt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".salt.{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(SALT_BYTES))
        try:
            os.link(draft, path)  # Whoever comes second finds the first one's salt.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    salt = path.read_bytes()
    if len(salt) < SALT_BYTES // 2:
        raise ValueError(f"{path} is too short to be a salt: restore it from the backup of the keys")
    return salt

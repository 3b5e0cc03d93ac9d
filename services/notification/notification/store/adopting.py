"""Messages that were finished by a state of the database that is gone."""

from collections.abc import Sequence

from contracts.notifications import NotificationEvent, NotificationFailedV1, NotificationSentV1
from shared.transaction import Transaction

from .queue import overtake


async def adopt_finished(tx: Transaction, told: Sequence[tuple[NotificationEvent, str]]) -> None:
    """Keep them, each once, with its correlation id. Those that are still to be sent here are finished, too.

    They are numbered as they are given: what was published of a member is in the order in which it was sent.
    """
    events = [event for event, _ in told]
    await tx.connection.execute(
        """INSERT INTO members (member_id, program_id)
           SELECT DISTINCT ON (m) m, p FROM unnest($1::uuid[], $2::text[]) n (m, p) ORDER BY m
           ON CONFLICT DO NOTHING""",
        [event.member_id for event in events],
        [event.program_id for event in events],
    )
    reasons = [getattr(event, "reason", None) for event in events]
    await tx.connection.execute(
        """INSERT INTO messages (message_id, program_id, member_id, event_id, channel, template, parameters,
               recorded_at, created_at, correlation_id, state, reason, locale, coupon_id, attempts, finished_at)
           SELECT i, p, m, e, c, t, '{}', o, o, co, s, r, l, cu, 1, o
           FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[],
               $8::text[], $9::text[], $10::text[], $11::text[], $12::uuid[])
               WITH ORDINALITY n (i, p, m, e, c, t, o, co, s, r, l, cu, place)
           ORDER BY place
           ON CONFLICT (message_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
               locale = excluded.locale, finished_at = excluded.finished_at, next_attempt_at = NULL,
               parameters = CASE excluded.state WHEN 'failed' THEN messages.parameters ELSE '{}' END
           WHERE messages.state IN ('due', 'failed')""",
        [event.message_id for event in events],
        [event.program_id for event in events],
        [event.member_id for event in events],
        [event.event_id for event in events],
        [event.channel for event in events],
        [event.template for event in events],
        [event.occurred_at for event in events],
        [correlation_id for _, correlation_id in told],
        [_state(event) for event in events],
        reasons,
        [event.locale for event in events],
        [event.coupon_id for event in events],
    )
    await overtake(tx.connection, [event.message_id for event in events])
    await tx.connection.execute(
        """UPDATE members SET opted_out_at = o FROM unnest($1::uuid[], $2::timestamptz[]) n (m, o)
           WHERE member_id = m AND opted_out_at IS NULL""",
        [event.member_id for event, reason in zip(events, reasons, strict=True) if reason == "opted_out"],
        [event.occurred_at for event, reason in zip(events, reasons, strict=True) if reason == "opted_out"],
    )


def _state(event: NotificationEvent) -> str:
    if isinstance(event, NotificationSentV1):
        return "sent"
    return "failed" if isinstance(event, NotificationFailedV1) else "suppressed"

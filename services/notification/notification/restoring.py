"""After a restore: what was sent is known again, so that nobody is told twice."""

from contracts.notifications import NotificationEvent, NotificationFailedV1
from shared.transaction import Message, Transaction

from . import store


async def adopt(tx: Transaction, batch: list[Message]) -> None:
    """Messages that were finished are finished; who had opted out stays so.

    What calls for them is read again afterwards, and finds them there. Webhooks that were given up are made anew by
    that, since the topic does not hold what they said.
    """
    told = [
        (message.data, message.envelope.correlation_id)
        for message in batch
        if isinstance(message.data, NotificationEvent) and not _is_lost(message.data)
    ]
    await store.adopt_finished(tx, told)


def _is_lost(event: NotificationEvent) -> bool:
    return isinstance(event, NotificationFailedV1) and event.channel == "webhook"

"""After a restore: what was sent is known again, so that nobody is told twice."""

from contracts.notifications import NotificationEvent
from shared.transaction import Message, Transaction

from . import store


async def adopt(tx: Transaction, batch: list[Message]) -> None:
    """Messages that were finished are finished; who had opted out stays so.

    What calls for them is read again afterwards, and finds them there. Webhooks that were given up get from that what
    they said, which the topic does not hold.
    """
    told = {
        message.data.message_id: (message.data, message.envelope.correlation_id)
        for message in batch
        if isinstance(message.data, NotificationEvent)
    }
    await store.adopt_finished(tx, list(told.values()))

"""Every SQL statement of the service, as functions that take a connection."""

from .activities import claim_activity, is_revocable
from .adopting import (
    Known,
    adopt_activities,
    lock_known,
    read_activities,
    read_members,
    read_orders,
    save_adopted,
)
from .batch import load, load_undecided, order_event, save
from .connections import (
    Connection,
    ConnectionInfo,
    create_connection,
    create_source,
    find_connection,
    list_connections,
    rotate_secret,
    set_active,
    source_exists,
)
from .deliveries import (
    Delivery,
    DeliveryInfo,
    NewDelivery,
    finish_deliveries,
    insert_deliveries,
    list_deliveries,
    purge_deliveries,
    received_ids,
    reparse,
    show_delivery,
    take_delivery,
    take_received,
)
from .lookups import claim_key, find_member, find_order, keep_answer
from .world import Fact, MemberRow, Nameless, OrderRow, Report, SourceKey, World

__all__ = [
    "Connection", "ConnectionInfo", "Delivery", "DeliveryInfo", "Fact", "Known", "MemberRow", "Nameless",
    "NewDelivery", "OrderRow", "Report", "SourceKey", "World", "adopt_activities",
    "claim_activity", "claim_key", "create_connection", "create_source",
    "find_connection", "find_member", "find_order", "finish_deliveries", "insert_deliveries", "is_revocable",
    "keep_answer", "list_connections", "list_deliveries", "load", "load_undecided", "lock_known",
    "order_event",
    "purge_deliveries", "read_activities", "read_members", "read_orders", "received_ids", "reparse",
    "rotate_secret", "save", "save_adopted", "set_active", "show_delivery",
    "source_exists", "take_delivery", "take_received",
]  # fmt: skip

"""Shopify's webhooks as a shop sends them: payloads made ready, signed and posted."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from .installation import Failure

Payload = dict[str, Any]
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_WRAPPERS = ("order", "refund", "dispute", "customer")


def read_payload(path: Path) -> Payload:
    """The payload in a file, bare as in a webhook; what REST exports wrap is unwrapped. Raises Failure."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Failure(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{path} is not JSON: {error}.") from error
    if isinstance(data, dict) and len(data) == 1 and next(iter(data)) in _WRAPPERS:
        data = next(iter(data.values()))
    if not isinstance(data, dict):
        raise Failure(f"{path} holds no JSON object.")
    return data


def set_field(payload: Payload, assignment: str) -> None:
    """Apply `field=value`; dots lead into parts, numbers count list items from 0, and JSON values are taken as such.

    Raises Failure where that is no place in the payload.
    """
    path, sign, text = assignment.partition("=")
    if not sign or not path:
        raise Failure(f"{assignment!r} is no assignment; write it as financial_status=paid.")
    *parents, last = path.split(".")
    place: Any = payload
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if isinstance(place, list):
            place[int(last)] = _value(text)
        else:
            place.update({last: _value(text)})
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise Failure(f"The payload has no place {path!r}.") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def move_to(payload: Payload, now: datetime) -> Payload:
    """The payload with all its moments moved alike, so that the last of its own ones is `now`.

    Its own are those of the order, refund, dispute or customer itself. Distances stay, but nothing comes to lie after
    now: old samples have parts that are years younger than the whole.
    """
    own = [moment for value in payload.values() if (moment := _moment(value)) is not None]
    if not own:
        raise Failure("The payload has no date of its own to move.")
    shift = now.replace(microsecond=0) - max(own)
    return {key: _moved(value, lambda moment: min(moment + shift, now)) for key, value in payload.items()}


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and _MOMENT.fullmatch(value) else None


def _moved(value: Any, move: Callable[[datetime], datetime]) -> Any:
    if isinstance(value, dict):
        return {key: _moved(item, move) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, move) for item in value]
    moment = _moment(value)
    return value if moment is None else move(moment).astimezone(moment.tzinfo).isoformat(timespec="seconds")


def signature(secret: str, body: bytes) -> str:
    """What Shopify sends as X-Shopify-Hmac-Sha256."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def headers(secret: str, body: bytes, topic: str, webhook_id: str | None = None) -> dict[str, str]:
    """The headers of a webhook. `webhook_id`: of a repeat, that of the first."""
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": signature(secret, body),
        "X-Shopify-Webhook-Id": webhook_id or str(uuid4()),
        "X-Shopify-Shop-Domain": "demo-shop.myshopify.com",
        "X-Shopify-API-Version": "2026-10",
    }

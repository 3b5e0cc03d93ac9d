"""The edges of a simulated process: Kafka, PostgreSQL, pauses, and what goes out by mail and webhook."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiosmtplib
import httpx

import shared.outbox
import shared.process

from .kafka import Cluster, Producer
from .life import LIFE
from .postgres import watched

HASTE = 200.0
"""Pauses between tries pass so many times faster."""
_sleep = asyncio.sleep


def _put(producer: Any, cluster_id: Any, sleep: Any) -> None:
    vars(shared.outbox)["AIOKafkaProducer"], vars(shared.process)["cluster_id"] = producer, cluster_id
    vars(asyncio)["sleep"] = sleep


def _with_moments(what: str, send: Callable[..., Awaitable[Any]]) -> Any:
    """Before and after something leaves the process, it can die."""

    async def sent(*args: Any, **kwargs: Any) -> Any:
        life = LIFE.get(None)
        if life is not None:
            await life.reaches(f"{what}: before it is sent")
        answer = await send(*args, **kwargs)
        if life is not None:
            await life.reaches(f"{what}: after it was taken")
        return answer

    return sent


@contextmanager
def _watched_deliveries() -> Iterator[None]:
    mail, call = aiosmtplib.SMTP.sendmail, httpx.AsyncHTTPTransport.handle_async_request
    aiosmtplib.SMTP.sendmail = _with_moments("mail", mail)  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = _with_moments("webhook", call)  # type: ignore[method-assign]
    try:
        yield
    finally:
        aiosmtplib.SMTP.sendmail = mail  # type: ignore[method-assign]
        httpx.AsyncHTTPTransport.handle_async_request = call  # type: ignore[method-assign]


@contextmanager
def simulated(cluster: Cluster) -> Iterator[None]:
    """The library's edges are the simulation's: connections have moments, Kafka is in memory, pauses are short."""
    real = vars(shared.outbox)["AIOKafkaProducer"], vars(shared.process)["cluster_id"], asyncio.sleep

    async def hasty(seconds: float, result: Any = None) -> Any:
        return await _sleep(seconds / HASTE, result)

    async def cluster_id(_: object) -> str:
        cluster.answer()
        return cluster.id

    Producer.cluster = cluster
    _put(Producer, cluster_id, hasty)
    try:
        with watched(), _watched_deliveries():
            yield
    finally:
        _put(*real)

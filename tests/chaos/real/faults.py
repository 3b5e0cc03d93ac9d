"""Every kind of trouble: what is done, for how long, and how we know that it really happened."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg

from contracts.topics import INGEST, POINTS
from laurel.services import SERVICES
from tests.e2e.kills import wait_alive

from .nemesis import READY_SECONDS_MAX, STOP_SECONDS_MAX, Fault, Trouble, is_ready, wait_for
from .stack import SESSION_SECONDS
from .toxiproxy import API_VERSIONS, SSL_REQUEST, round_trip

BUSY = (INGEST, POINTS)
"""Who always has something to publish."""
LATENCY_MS = 150
_FULL_SECONDS_MAX = 20.0


def kill(trouble: Trouble) -> bool:
    """A service dies; its supervisor starts it again."""
    pid = trouble.stack.pid(trouble.victim("kill"))
    trouble.signal(pid, signal.SIGKILL)
    return trouble.ends(pid)


def term(trouble: Trouble) -> bool:
    """A service is asked to stop in the middle of its work."""
    return _term(trouble, trouble.victim("term"), "")


def _term(trouble: Trouble, name: str, when: str) -> bool:
    pid = trouble.stack.pid(name)
    trouble.signal(pid, signal.SIGTERM)
    if not trouble.ends(pid, STOP_SECONDS_MAX):
        trouble.wrong.append(f"{name} did not stop within {STOP_SECONDS_MAX:.0f} s of SIGTERM{when}")
        trouble.signal(pid, signal.SIGKILL)
    return True


def freeze(trouble: Trouble) -> bool:
    """A service stands still until its group has given it up, then goes on where it was."""
    pid = trouble.stack.pid(trouble.victim("freeze"))
    trouble.signal(pid, signal.SIGSTOP)
    stood = trouble.stopped(pid)
    trouble.pause(SESSION_SECONDS + 1, SESSION_SECONDS + 3)
    trouble.signal(pid, signal.SIGCONT)
    return stood


def zombie(trouble: Trouble) -> bool:
    """points-accrual stands still, another instance takes its partitions over, and it wakes up amid its batch."""
    if not _joined(trouble):
        return False
    pid = trouble.stack.pid(trouble.victim("zombie", [POINTS]))
    trouble.signal(pid, signal.SIGSTOP)
    taken_over = trouble.stopped(pid) and wait_for(lambda: trouble.owners() == 1, 3 * SESSION_SECONDS)
    trouble.pause(1.0, 3.0)
    trouble.signal(pid, signal.SIGCONT)
    trouble.pause(1.0, 3.0)
    trouble.stack.leave(kill=trouble.rng.random() < 0.5)
    return taken_over


def join_leave(trouble: Trouble) -> bool:
    """A second points-accrual takes half of the partitions, and gives them back or dies."""
    shared = _joined(trouble) and wait_for(lambda: trouble.owners() == 2, READY_SECONDS_MAX)
    trouble.pause(1.0, 4.0)
    trouble.stack.leave(kill=trouble.rng.random() < 0.5)
    return shared


def _joined(trouble: Trouble) -> bool:
    wait_alive(POINTS, trouble.stack.state.urls[POINTS])
    url = trouble.stack.join()
    if wait_for(lambda: is_ready(url), READY_SECONDS_MAX):
        return True
    trouble.wrong.append("a second points-accrual did not become ready")
    trouble.stack.leave(kill=True)
    return False


def kafka_kill(trouble: Trouble) -> bool:
    """The broker dies and is away for some seconds."""
    return _kafka_away(trouble, "kafka_kill", trouble.stack.kafka.kill, trouble.short_seconds)


def kafka_stop(trouble: Trouble) -> bool:
    """The broker is stopped as an operator does, and started again."""
    return _kafka_away(trouble, "kafka_stop", trouble.stack.kafka.stop, trouble.short_seconds)


def kafka_long(trouble: Trouble) -> bool:
    """The broker dies and is away for long."""
    return _kafka_away(trouble, "kafka_long", trouble.stack.kafka.kill, (trouble.long_seconds,) * 2)


def _kafka_away(trouble: Trouble, kind: str, end: Callable[[], None], seconds: tuple[float, float]) -> bool:
    trouble.wait_edge()
    with trouble.away(kind):
        end()
        gone = not trouble.stack.kafka.running
        trouble.pause(*seconds)
    trouble.stack.kafka.start()
    return gone


def kafka_freeze(trouble: Trouble) -> bool:
    """The broker stands still: connections stay, and nothing answers."""
    trouble.wait_edge()
    pid = int((trouble.stack.kafka.data_dir / "kafka.pid").read_text())
    with trouble.away("kafka_freeze"):
        trouble.signal(pid, signal.SIGSTOP)
        stood = trouble.stopped(pid)
        trouble.pause(*trouble.short_seconds)
    trouble.signal(pid, signal.SIGCONT)
    return stood


def term_without_kafka(trouble: Trouble) -> bool:
    """A service is asked to stop while the broker is away, or stands still."""
    return _without_kafka(trouble, "term_without_kafka", lambda name: _term(trouble, name, " without Kafka"))


def kill_without_kafka(trouble: Trouble) -> bool:
    """A service dies while its relay waits for a broker that is away, or stands still."""

    def end(name: str) -> bool:
        pid = trouble.stack.pid(name)
        trouble.signal(pid, signal.SIGKILL)
        return trouble.ends(pid)

    return _without_kafka(trouble, "kill_without_kafka", end)


def _without_kafka(trouble: Trouble, kind: str, end: Callable[[str], bool]) -> bool:
    name, kafka = trouble.victim(kind, BUSY), trouble.stack.kafka
    pid, frozen = int((kafka.data_dir / "kafka.pid").read_text()), trouble.rng.random() < 0.5
    trouble.signal(pid, signal.SIGSTOP if frozen else signal.SIGKILL)
    gone = trouble.stopped(pid) if frozen else trouble.ends(pid)
    trouble.pause(0.3, 1.5)
    ended = end(name)
    if frozen:
        trouble.signal(pid, signal.SIGCONT)
    else:
        kafka.kill()  # It is dead already; this ends its guard.
        kafka.start()
    return gone and ended


def postgres_fast(trouble: Trouble) -> bool:
    """PostgreSQL ends every session and stops; it is started again."""
    trouble.stack.postgres.stop()
    return _start_postgres(trouble)


def postgres_immediate(trouble: Trouble) -> bool:
    """PostgreSQL drops everything at once (SIGQUIT), and recovers from its log."""
    pid = int((trouble.stack.postgres.data_dir / "postmaster.pid").read_text().split(maxsplit=1)[0])
    trouble.signal(pid, signal.SIGQUIT)
    trouble.ends(pid)
    trouble.stack.postgres.stop()
    return _start_postgres(trouble)


def postgres_kill(trouble: Trouble) -> bool:
    """All of PostgreSQL's processes are killed."""
    trouble.stack.postgres.kill()
    return _start_postgres(trouble)


def _start_postgres(trouble: Trouble) -> bool:
    gone = not trouble.stack.postgres.running
    trouble.pause(0.2, 2.5)
    trouble.stack.postgres.start()
    return gone


def backends(trouble: Trouble) -> bool:
    """Some or all of the services' sessions are ended by the server, whatever they are doing."""
    share = trouble.rng.choice((0.3, 0.6, 1.0))
    with psycopg.connect(trouble.stack.postgres.dsn(), autocommit=True) as connection:
        for _ in range(20):
            ended = connection.execute(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = ANY(%s) AND pid <> pg_backend_pid() AND random() < %s""",
                ([entry.database for entry in SERVICES.values()], share),
            ).fetchone()
            if ended and ended[0]:
                return True
            time.sleep(0.25)  # After another trouble the services may just be coming back.
    return False


def disk_full(trouble: Trouble) -> bool:
    """The disk under PostgreSQL is full, and then it is not any more."""
    disk, postgres = trouble.stack.disk, trouble.stack.postgres
    assert disk is not None
    trouble.wait_edge()
    before = postgres.log.stat().st_size
    with trouble.away("disk_full"):
        disk.fill()
        met = wait_for(lambda: b"No space left" in _from(postgres.log, before), _FULL_SECONDS_MAX)
        trouble.pause(1.0, 3.0)
        disk.free()
    # It may have given up for want of room for its log; then it is for the operator to start it.
    time.sleep(1.0)
    if not postgres.running:
        postgres.restart()
    return met


def _from(log: Any, offset: int) -> bytes:
    with log.open("rb") as file:
        file.seek(offset)
        return bytes(file.read())


def _toxic(server: str, name: str, kind: str, **attributes: Any) -> Fault:
    """A fault that puts a toxic between the services and a server; what it does is measured from outside."""

    def fault(trouble: Trouble) -> bool:
        stack, proxy = trouble.stack, trouble.stack.proxy
        assert proxy is not None
        port, question = (
            (stack.postgres_proxied, SSL_REQUEST) if server == "postgres" else (stack.kafka_proxied, API_VERSIONS)
        )
        window: AbstractContextManager[None] = nullcontext()
        if server == "kafka":
            trouble.wait_edge()
            window = trouble.away(f"kafka_{name}")
        with window, proxy.toxic(server, kind, **attributes):
            took = round_trip(port, question, 1.5)
            trouble.pause(*trouble.short_seconds)
        return took is None if kind != "latency" else took is not None and took > LATENCY_MS / 1000

    return fault


EVERYWHERE: dict[str, Fault] = {
    "kill": kill,
    "term": term,
    "freeze": freeze,
    "zombie": zombie,
    "join_leave": join_leave,
    "kafka_kill": kafka_kill,
    "kafka_stop": kafka_stop,
    "kafka_long": kafka_long,
    "kafka_freeze": kafka_freeze,
    "term_without_kafka": term_without_kafka,
    "kill_without_kafka": kill_without_kafka,
    "postgres_fast": postgres_fast,
    "postgres_immediate": postgres_immediate,
    "postgres_kill": postgres_kill,
    "backends": backends,
}
BY_PROXY: dict[str, Fault] = {
    f"{server}_{name}": _toxic(server, name, kind, **attributes)
    for server in ("postgres", "kafka")
    for name, kind, attributes in (
        ("latency", "latency", {"latency": LATENCY_MS, "jitter": 50}),
        ("reset", "reset_peer", {"timeout": 0}),
        ("silent", "timeout", {"timeout": 0}),
    )
}
ON_SMALL_DISK: dict[str, Fault] = {"disk_full": disk_full}


def schedule(rng: random.Random, kinds: dict[str, Fault], times: dict[str, int]) -> list[tuple[str, Fault]]:
    """Every kind so often as `times` says, in the order of the seed."""
    found = [(kind, fault) for kind, fault in kinds.items() for _ in range(times.get(kind, 0))]
    rng.shuffle(found)
    return found

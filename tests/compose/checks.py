"""What is checked of the Compose stack, in order: each check builds on those before."""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from laurel import shopify

from .stack import PROGRAM, ROOT, CheckFailed, Stack, expect

T = TypeVar("T")
ORDER = ROOT / "tests" / "fixtures" / "shopify" / "shopify-order.json"
SOURCE = "compose-shop"
EMAIL = "bob.norman@hostmail.com"
POINTS = 3980
"""The order's lines come to 398.00 USD; the program gives 10 points for each dollar."""
BUILD_SECONDS_MAX, UP_SECONDS_MAX = 600, 360
POINTS_SECONDS_MAX = 60.0
HEADER_SECONDS_MAX = 15.0
"""The proxy allows ten."""


def comes_up(stack: Stack) -> None:
    stack.compose(
        "up", "--wait", "--wait-timeout", str(UP_SECONDS_MAX), "--pull", "never", "--build",
        timeout=BUILD_SECONDS_MAX + UP_SECONDS_MAX,
    )  # fmt: skip


def is_contained(stack: Stack) -> None:
    """Nobody is root, nothing is writable, nothing is published but the proxy, and that on loopback."""
    ids = stack.compose("ps", "--all", "--quiet").split()
    inspected = json.loads(subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True).stdout)
    for found in inspected:
        host, name = found["HostConfig"], found["Name"]
        expect(found["Config"]["User"].split(":")[0] in {"", "0", "root"}, False, f"{name} runs as root")
        expect(host["ReadonlyRootfs"], True, f"{name} is read-only")
        expect(host["CapDrop"], ["ALL"], f"capabilities that {name} drops")
        expect(host["Memory"] > 0, True, f"{name} has a memory limit")
        bindings = [item["HostIp"] for items in (host["PortBindings"] or {}).values() for item in items]
        expect(bindings, ["127.0.0.1"] if "proxy" in name else [], f"addresses where {name} is published")


def takes_a_program_and_a_shop(stack: Stack) -> None:
    stack.laurel("program", "publish", "programs/aurora.yaml", "--backdate")
    stack.secret = secrets.token_hex(32)
    stack.laurel("source", "create", SOURCE, "--program", PROGRAM)
    said = stack.laurel(
        "connection", "create", SOURCE, "--program", PROGRAM, "--secret-file", "/dev/stdin", text=f"{stack.secret}\n"
    )
    stack.connection_id = said.removeprefix("Connection ").partition(";")[0]


def takes_a_signed_order(stack: Stack) -> None:
    payload = shopify.move_to(shopify.read_payload(ORDER), datetime.now(UTC)) | {"financial_status": "paid"}
    stack.order = json.dumps(payload).encode()
    expect(stack.send(stack.order, "not the secret"), 401, "a forged signature")
    expect(stack.send(stack.order, stack.secret), 200, "the order")


def turns_it_into_points(stack: Stack) -> None:
    stack.member_id = within(POINTS_SECONDS_MAX, lambda: find_member(stack), "the member")
    within(POINTS_SECONDS_MAX, lambda: points(stack) == POINTS, f"{POINTS} points")
    expect(len(transfers(stack)), 1, "transfers of the order")


def guards_its_doors(stack: Stack) -> None:
    for path in ("/metrics", "/readyz", "/livez", "/docs", "/openapi.json", "/v1/rewards/..%2F..%2Fmetrics"):
        expect(stack.client.get(path).status_code, 404, f"{path} from outside")
    expect(stack.client.get(f"/v1/members/{stack.member_id}/points").status_code, 401, "points without a token")
    expect(stack.client.get("/v1/rewards", headers=stack.member()).status_code, 200, "rewards")
    for path in ("tier", "referral", "preferences", "history", "coupons", "rewards", "challenges"):
        answer = stack.client.get(f"/v1/members/{stack.member_id}/{path}", headers=stack.member())
        expect(answer.status_code, 200, f"the member's {path}")
    for path in ("programs", "causes", f"members/{stack.member_id}/segments"):
        expect(stack.client.get(f"/v1/{path}", headers=stack.store()).status_code, 200, path)
    expect(stack.client.get("/v1/liability", headers=stack.store()).status_code, 403, "the liability, for a shop")


def refuses_a_large_body(stack: Stack) -> None:
    expect(stack.send(b" " * (1024 * 1024 + 1), stack.secret), 413, "a body of more than 1 MiB")

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    path = stack.webhooks()
    answer = stack.client.post(path, content=pieces(), headers={"Content-Type": "application/json"})
    expect(
        (answer.status_code, answer.headers["content-type"]), (413, "application/problem+json"), "the same in chunks"
    )


def cuts_slow_clients(stack: Stack) -> None:
    """A header that comes line by line and never ends; a body that never comes."""
    start = f"POST {stack.webhooks()} HTTP/1.1\r\nHost: shop\r\n".encode()
    seconds = seconds_until_cut(stack.port, start, drip=b"X-Slow: 1\r\n")
    expect(seconds < HEADER_SECONDS_MAX, True, f"slow headers are cut, after {seconds:.0f} s")
    seconds = seconds_until_cut(stack.port, start + b"Content-Length: 100\r\n\r\n", drip=b"")
    expect(seconds < HEADER_SECONDS_MAX, True, f"a stalled body is cut, after {seconds:.0f} s")


def survives_restarts(stack: Stack) -> None:
    """Every container stops and starts; the same webhook comes again; nothing changes."""
    before = transfers(stack)
    stack.compose("restart", timeout=UP_SECONDS_MAX)
    stack.compose("up", "--wait", "--wait-timeout", str(UP_SECONDS_MAX), "--pull", "never", timeout=UP_SECONDS_MAX + 30)
    expect(points(stack), POINTS, "points after the restart")
    expect(stack.send(stack.order, stack.secret), 200, "the order once more")
    # What the repeat could do wrong would show at once: a webhook is read within a second.
    time.sleep(5)
    expect(points(stack), POINTS, "points after the repeat")
    expect(transfers(stack), before, "transfers after the repeat")


def is_healthy(stack: Stack) -> None:
    stack.laurel("doctor")


def passes_the_smoke_suite(_: Stack) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "docker", "tests/smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    expect(done.returncode, 0, f"the smoke suite's exit code\n{done.stdout[-3000:]}")


def find_member(stack: Stack) -> str:
    answer = stack.client.get("/v1/members", params={"email": EMAIL}, headers=stack.store())
    return str(answer.json()["member_id"]) if answer.status_code == 200 else ""


def points(stack: Stack) -> int:
    """Pending and active together."""
    answer = stack.client.get(f"/v1/members/{stack.member_id}/points", headers=stack.member())
    balances = answer.json()["balances"] if answer.status_code == 200 else {}
    return int(balances.get("pending", 0)) + int(balances.get("active", 0))


def transfers(stack: Stack) -> list[Any]:
    answer = stack.client.get(f"/v1/members/{stack.member_id}/history", headers=stack.member())
    expect(answer.status_code, 200, "the history")
    found: list[Any] = answer.json()["transfers"]
    return found


def within(seconds: float, ask: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise CheckFailed(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.5)
    return found


def seconds_until_cut(port: int, start: bytes, drip: bytes) -> float:
    """How long the proxy bears a client that sends `start` and then a bit each second; 30 at most."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as client:
        client.sendall(start)
        while time.monotonic() - began < 30:
            try:
                if client.recv(4096) == b"":
                    break
            except TimeoutError:
                client.sendall(drip)
            except ConnectionError:
                break
    return time.monotonic() - began


CHECKS: dict[str, Callable[[Stack], None]] = {
    "builds, and comes up healthy": comes_up,
    "containers have no rights they do not need": is_contained,
    "a program and a shop are set up by the command line": takes_a_program_and_a_shop,
    "a signed order is taken over the proxy, a forged one is not": takes_a_signed_order,
    f"the order becomes {POINTS} points": turns_it_into_points,
    "the proxy shows what it should and no more": guards_its_doors,
    "a body of more than 1 MiB gives 413": refuses_a_large_body,
    "slow clients are cut": cuts_slow_clients,
    "every container restarted: points still right, nothing doubled": survives_restarts,
    "the doctor finds nothing": is_healthy,
    "the smoke suite on testcontainers passes": passes_the_smoke_suite,
}

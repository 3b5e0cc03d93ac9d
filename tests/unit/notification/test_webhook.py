"""The signature against the published vector, and the guard against inner addresses."""

import base64
import ipaddress
from datetime import UTC, datetime

import pytest

from notification import webhook
from notification.store.endpoints import new_secret

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_signature_is_that_of_the_published_vector() -> None:
    """From the test suites of the Standard Webhooks libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert webhook.sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == signature


def test_while_a_secret_is_rotated_both_sign() -> None:
    one, two = new_secret(), new_secret()
    both = webhook.sign([one, two], "id", 1, b"{}").split(" ")
    assert both == [webhook.sign([one], "id", 1, b"{}"), webhook.sign([two], "id", 1, b"{}")]
    assert len(base64.b64decode(one.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("198.18.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:1::", False),
        ("2001:db8::1", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_called(address: str, public: bool) -> None:
    assert webhook.is_public(ipaddress.ip_address(address)) == public


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example.com/hook", "https"),
        ("ftp://shop.example.com/", "no http"),
        ("https://user:secret@shop.example.com/", "credentials"),
        ("https:///hook", "no http"),
        ("not a url", "no http"),
        ("https://[::1/", "no http"),
        ("https://shop.example.com:99999/", "no http"),
        ("https://shop.example.com:secret/", "no http"),
        ("https://10.0.0.1/hook", "inner address"),
        ("https://[::ffff:10.0.0.1]:8443/hook", "inner address"),
    ],
)
def test_urls_that_cannot_be_endpoints(url: str, reason: str) -> None:
    """The reason is shown to members: the address, which may hold a secret, is not in it."""
    with pytest.raises(webhook.RefusedError, match=reason) as refused:
        webhook.check_url(url, frozenset())
    assert not any(part in str(refused.value) for part in ("shop.example", "hook", "secret", "10.0.0.1", "url"))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data",
    ],
)
async def test_inner_addresses_are_refused_however_written(url: str) -> None:
    with pytest.raises((webhook.RefusedError, OSError)):
        await webhook.pin(url, frozenset())


async def test_a_host_allowed_by_name_may_be_inside_and_is_pinned() -> None:
    target, host = await webhook.pin("http://localhost:8080/hook?a=1", frozenset({"localhost"}))
    assert host == "localhost"
    assert ipaddress.ip_address(target.host).is_loopback
    assert (target.port, target.raw_path) == (8080, b"/hook?a=1")


async def test_one_inner_address_among_several_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(host: str, port: None, **_: object) -> list[object]:
        return [(0, 0, 0, "", ("93.184.216.34", 0)), (0, 0, 0, "", ("10.0.0.1", 0))]

    import asyncio

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
    with pytest.raises(webhook.RefusedError, match="inner address"):
        await webhook.pin("https://rebind.example/", frozenset())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("٣", None),
    ],
)
def test_retry_after_in_both_forms(value: str, expected: object) -> None:
    assert webhook._retry_after(value, NOW) == expected

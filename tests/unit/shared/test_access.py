"""A token that was verified before is judged again each time it is shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.access import Tokens, create_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    create_key(tmp_path, "first")
    return Tokens(tmp_path)


def test_a_known_token_runs_out(tokens: Tokens) -> None:
    token = tokens.mint("aurora", "store", now=NOW, ttl=HOUR, subject="till")
    assert tokens.verify(token, NOW).subject == "till"
    assert tokens.verify(token, NOW + HOUR - timedelta(seconds=1)).subject == "till"
    with pytest.raises(ValueError, match="run out"):
        tokens.verify(token, NOW + HOUR)


def test_a_known_token_is_refused_without_its_key(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.mint("aurora", "store", now=NOW, ttl=HOUR, subject="till")
    tokens.verify(token, NOW)
    (tmp_path / "first.pub.pem").unlink()
    with pytest.raises(ValueError, match="InvalidKeyError"):
        tokens.verify(token, NOW)


def test_a_known_token_is_refused_by_another_key_of_the_same_name(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.mint("aurora", "store", now=NOW, ttl=HOUR, subject="till")
    tokens.verify(token, NOW)
    for file in tmp_path.glob("first.*"):
        file.unlink()
    with pytest.raises(ValueError, match="InvalidKeyError"):
        tokens.verify(token, NOW)
    create_key(tmp_path, "first")
    with pytest.raises(ValueError, match="InvalidSignatureError"):
        tokens.verify(token, NOW)


def test_a_known_token_is_not_taken_for_another(tokens: Tokens) -> None:
    token = tokens.mint("aurora", "store", now=NOW, ttl=HOUR, subject="till")
    tokens.verify(token, NOW)
    head, body, _ = token.split(".")
    for forged in (f"{head}.{body}.", token[:-4] + "AAAA", token + "A", f"{head}.{body}.{'A' * 86}"):
        with pytest.raises(ValueError, match="not valid"):
            tokens.verify(forged, NOW)

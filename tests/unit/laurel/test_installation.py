"""Which Laurel the commands talk to, and what they say when there is none."""

from pathlib import Path

import asyncpg
import httpx
import pytest

from contracts.topics import SERVICES as NAMES
from contracts.topics import TOPICS
from laurel import installation, topics
from laurel.cli.say import sentence
from laurel.installation import Failure
from laurel.services import SERVICES


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_HOME", str(tmp_path / "home"))
    for name in ("LAUREL_DATABASE_URL", "LAUREL_DATABASE_URL_FILE", "LAUREL_KAFKA", "LAUREL_KEYS_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_registry_names_every_service_once() -> None:
    assert tuple(SERVICES) == NAMES
    assert len({entry.port for entry in SERVICES.values()}) == len(SERVICES)
    for entry in SERVICES.values():
        assert list(entry.migrations.glob("0001_*.sql")), entry.name
        assert callable(entry.build)


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    assert not installation.is_held(folder)
    with installation.held(folder):
        assert installation.is_held(folder)
        with pytest.raises(Failure, match="already running"), installation.held(folder):
            pass
    assert not installation.is_held(folder)


def test_a_state_is_found_only_while_its_laurel_runs(tmp_path: Path) -> None:
    home = installation.home()
    state = installation.State(
        home=home, kafka="k:1", databases=dict.fromkeys(SERVICES, "postgresql://x"),
        urls=dict.fromkeys(SERVICES, "http://y"), smtp_port=1, program_id="aurora",
    )  # fmt: skip
    with installation.held(home):
        state.save()
        assert (home / "state.json").stat().st_mode & 0o777 == 0o600
        assert installation.running() == state
        assert installation.kafka() == "k:1"
    assert installation.running() is None
    with pytest.raises(Failure, match="laurel up"):
        installation.required()


def test_one_address_serves_all_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="LAUREL_DATABASE_URL"):
        installation.dsn(SERVICES["tier"])
    monkeypatch.setenv("LAUREL_DATABASE_URL", "postgresql://h/{database}")
    assert installation.dsn(SERVICES["points-accrual"]) == "postgresql://h/points_accrual"
    assert not installation.one_for_all()
    (tmp_path / "tier.url").write_text("postgresql://file/tier\n")
    monkeypatch.setenv("LAUREL_DATABASE_URL_FILE", str(tmp_path / "{database}.url"))
    assert installation.dsn(SERVICES["tier"]) == "postgresql://file/tier"
    with pytest.raises(Failure, match="no file"):
        installation.dsn(SERVICES["referral"])


def test_every_topic_has_its_dead_letter_topics() -> None:
    wanted = {item.name: item for item in topics.wanted(5)}
    for topic in TOPICS:
        assert wanted[topic.name].partitions == (topic.partitions or 5)
        assert (wanted[topic.name].retention_ms is None) == (topic.retention is None)
        for service in topic.consumers:
            assert wanted[topic.dead_letters(service)].record_bytes_max > wanted[topic.name].record_bytes_max


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Failure("Do this."), "Do this."),
        (httpx.ConnectError("refused", request=httpx.Request("GET", "http://127.0.0.1:8101/v1")), "127.0.0.1:8101"),
        (asyncpg.UndefinedTableError("relation x"), "laurel migrate"),
        (ConnectionError("Kafka at k:1 cannot be asked (X)"), "LAUREL_KAFKA"),
        (FileNotFoundError(2, "No such file", "a.json"), "a.json"),
    ],
)
def test_errors_are_one_sentence(error: Exception, words: str) -> None:
    text = sentence(error)
    assert text is not None
    assert words in text
    assert "\n" not in text


def test_an_error_that_nobody_foresaw_is_not_hidden() -> None:
    assert sentence(ZeroDivisionError()) is None

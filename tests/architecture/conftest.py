"""What several of these tests look at."""

from pathlib import Path

import pytest
from fastapi import APIRouter

from laurel.services import SERVICES
from shared.service import Context


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, APIRouter]:
    """What each service serves beside the routes of every process, by its address behind the proxy."""
    keys: Path = tmp_path_factory.mktemp("keys")
    found = {}
    for entry in SERVICES.values():
        service = entry.build(Context(entry.name, entry.settings.model_validate({"keys_dir": keys})))
        assert service.routes is not None, f"{entry.name} serves nothing"
        found[f"{entry.name}:{entry.port}"] = service.routes
    return found

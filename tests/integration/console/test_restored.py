"""Whatever had happened: a restored database of the console ends as it was."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.app import build
from contracts.members import MemberChangedV1
from shared.testing import harness
from tests.integration.console.test_api import NOW, ROOT, aurora, publish
from tests.integration.restored import MANY, Story, tell

pytestmark = pytest.mark.integration
MEMBERS = tuple(UUID(int=number) for number in range(1, 4))
TABLES = {
    "members": """SELECT member_id, program_id, profile_version, status, segments, segments_version, changed_at
                  FROM members ORDER BY 1""",
    "programs": """SELECT program_id, version, hash, document, effective_from, published_at FROM program_versions
                   ORDER BY 1, 2""",
}
"""Without who did it, which no topic says."""


class Office(Story):
    tables = TABLES

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.erased: set[UUID] = set()
        self.steps = [self.tell_nothing, self.profile, self.profile, self.segments, self.segments, self.erase,
                      self.repeat, self.program]  # fmt: skip

    def _profile(self, member_id: UUID, status: str) -> None:
        facts = {"program_id": "aurora", "member_id": member_id, "version": self.next("profile"), "status": status,
                 "seen_at": NOW, "enrolled_at": NOW, "recorded_at": self.now}  # fmt: skip
        self.tell(MemberChangedV1.model_validate(facts))

    def profile(self) -> None:
        member_id = self.one(*MEMBERS)
        self._profile(member_id, "erased" if member_id in self.erased else self.one("shopper", "member"))

    def erase(self) -> None:
        if self.one(False, False, True):
            member_id = self.one(*MEMBERS)
            self.erased.add(member_id)
            self._profile(member_id, "erased")

    def segments(self) -> None:
        path, body = f"/v1/members/{self.one(*MEMBERS)}/segments", {"segments": self.one([], ["vip"], ["new", "vip"])}
        answer = self.run(self.served.client.put(path, json=body, headers=self.served.token("store")))
        assert answer.status_code in (200, 404), answer.text

    def program(self) -> None:
        ((latest,),) = self.run(self.rows("SELECT coalesce(max(version), 0) FROM program_versions"))
        document = aurora(latest + 1, after=self.now - NOW + timedelta(hours=1))
        answer = self.run(publish(self.served, document, backdate=True))
        assert answer.status_code == 201, answer.text


@MANY
@given(data=st.data())
def test_a_restored_database_ends_as_it_was(module_database: str, data: st.DataObject) -> None:
    migrations = ROOT / "services/console/console/migrations"
    tell(Office, harness(build, module_database, migrations, name="console", now=NOW), data, "members")

"""Opt-out, preferences, and the list of messages over HTTP."""

from uuid import UUID, uuid4

import pytest

from .parts import MEMBER, Desk, contact, granted, member, reward

pytestmark = pytest.mark.integration


async def link(here: Desk) -> str:
    """The path of the link in the mail that a member got."""
    await here.harness.deliver(contact(), granted())
    await here.send()
    url = here.mailbox.mails[-1]["List-Unsubscribe"].strip("<>")
    return str(url).removeprefix("http://127.0.0.1:8105")


async def wants_mail(here: Desk) -> bool:
    answer = await here.harness.client.get(f"/v1/members/{MEMBER}/preferences", headers=here.harness.token())
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["email"])


async def test_looking_at_the_link_changes_nothing_and_the_button_does(here: Desk) -> None:
    await here.harness.deliver(member(locale="az"))
    path = await link(here)
    page = await here.harness.client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert '<form method="post">' in page.text
    assert '<html lang="az"' in page.text
    assert page.headers["cache-control"] == "no-store"
    assert await wants_mail(here)
    done = await here.harness.client.post(path)
    assert "<form" not in done.text
    assert "Hazırdır" in done.text
    assert not await wants_mail(here)


async def test_mail_programs_opt_out_with_one_click(here: Desk) -> None:
    path = await link(here)
    answer = await here.harness.client.post(
        path,
        content="List-Unsubscribe=One-Click",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200
    await here.harness.deliver(granted(9))
    await here.send()
    assert len(here.mailbox.mails) == 1
    assert "points_earned suppressed" in await here.states()
    assert (await here.harness.client.post(path)).status_code == 200  # Again is fine.


async def test_links_of_others_lead_nowhere(here: Desk) -> None:
    path = await link(here)
    # Not the last letter: some of its bits carry nothing.
    changed = path[:-5] + ("A" if path[-5] != "A" else "B") + path[-4:]
    for wrong in (changed, "/v1/opt-out/x", "/v1/opt-out/" + "A" * 54):
        for method in ("GET", "POST"):
            answer = await here.harness.client.request(method, wrong)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
    assert await wants_mail(here)


async def test_members_choose_for_themselves(here: Desk) -> None:
    await here.harness.deliver(member())
    mine = here.harness.token("member", member_id=MEMBER)
    path = f"/v1/members/{MEMBER}/preferences"
    assert (await here.harness.client.put(path, json={"email": False}, headers=mine)).json() == {"email": False}
    assert not await wants_mail(here)
    assert (await here.harness.client.put(path, json={"email": True}, headers=mine)).status_code == 200
    assert await wants_mail(here)
    wrong = await here.harness.client.put(path, json={"email": "perhaps"}, headers=mine)
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "email"


async def test_another_program_has_no_such_member(here: Desk) -> None:
    await here.harness.deliver(member())
    foreign = here.harness.token("admin", program_id="other")
    client, base = here.harness.client, f"/v1/members/{MEMBER}"
    assert (await client.get(f"{base}/preferences", headers=foreign)).status_code == 404
    assert (await client.put(f"{base}/preferences", json={"email": False}, headers=foreign)).status_code == 404
    assert (await client.get(f"{base}/messages", headers=foreign)).status_code == 404
    unknown = await client.get(f"/v1/members/{uuid4()}/messages", headers=here.harness.token())
    assert unknown.status_code == 404
    assert await wants_mail(here)


async def test_messages_come_in_pages_without_their_content(here: Desk) -> None:
    await here.harness.deliver(contact(), reward(), *(granted(points) for points in range(1, 7)))
    await here.send()
    headers, seen, before = here.harness.token(), [], None
    for _ in range(5):
        query = {"limit": 3} | ({"before": before} if before else {})
        answer = await here.harness.client.get(f"/v1/members/{MEMBER}/messages", params=query, headers=headers)
        page = answer.json()
        assert "7K3M9QW2XHTB" not in answer.text
        seen += page["items"]
        before = page["next"]
        if before is None:
            break
    ids = [UUID(item["message_id"]) for item in seen]
    assert len(ids) == 7
    assert ids == sorted(ids, reverse=True)
    assert {item["state"] for item in seen} == {"sent"}
    too_many = await here.harness.client.get(f"/v1/members/{MEMBER}/messages?limit=1000", headers=headers)
    assert too_many.status_code == 422

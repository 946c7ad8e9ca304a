"""Which of many messages were sent: by the list, and each at most once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import OutcomeUnresolved
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import reconcile as settle
from airflow_provider_twilio.runtime.bulk.checkpoints import ClaimedSids
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.bulk.reconcile import Reconciler, fetch_statuses


def item(request: Request[Any], number: int) -> WorkItem:
    made = WorkItem(request)
    made.number = number
    return made


def message(index: int, body: str = "hello", **more: Any) -> Request[Any]:
    return Messages.create(to=f"+1415555{index:04}", from_="+15005550006", body=body, **more)


async def none_taken(sids: Collection[str]) -> set[str]:
    return set()


def known(*owned: str) -> ClaimedSids:
    async def taken(sids: Collection[str]) -> set[str]:
        return set(sids) & set(owned)

    return taken


@pytest.fixture
def since() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
@pytest.mark.parametrize("page", [1000, 10])
async def test_finds_those_that_were_sent(emulator: Emulator, open_client, since, unsent: str, page: int, monkeypatch):
    from airflow_provider_twilio.api import listing

    monkeypatch.setattr(listing, "MAX_PAGE_SIZE", page)
    emulator.quirks.set(unsent=unsent)
    async with open_client() as client:
        sent = {index: (await client.send(message(index)))["sid"] for index in range(0, 40, 2)}
        unsure = [(item(message(index), index), since) for index in range(40)]
        found = await Reconciler(client)(unsure, none_taken)
    assert {number: record["sid"] for number, record in found.items()} == sent  # type: ignore[index]


async def test_what_is_older_is_another(emulator: Emulator, open_client, since):
    async with open_client() as client:
        await client.send(message(1))
        late = since + timedelta(minutes=10)
        assert await Reconciler(client)([(item(message(1), 1), late)], none_taken) == {}


async def long_list(client: AsyncClient, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Fill ten pages with what is hours old, and tell the time."""
    from airflow_provider_twilio.api import listing

    monkeypatch.setattr(listing, "MAX_PAGE_SIZE", 10)
    for index in range(100):
        await client.send(message(index, "old"))
    emulator.clock.advance(hours=2)
    return datetime.fromtimestamp(emulator.clock.now(), UTC)


async def test_a_long_list_is_not_walked_to_its_end(emulator: Emulator, open_client, monkeypatch):
    async with open_client() as client:
        since = await long_list(client, emulator, monkeypatch)
        sent = await client.send(message(200))
        # One that waits in a queue, and stands at the far end of the list.
        queued = await client.send(Messages.create(to="+15005559012", from_="+15005550006", body="hello"))
        emulator.quirks.set(unsent="last")
        before = len(emulator.journal)
        unsure = [
            (item(message(200), 0), since),
            (item(Messages.create(to="+15005559012", from_="+15005550006", body="hello"), 1), since),
            (item(message(201), 2), since),
        ]
        monkeypatch.setattr(settle, "datetime", Later)
        found = await Reconciler(client)(unsure, none_taken)
    assert {number: record["sid"] for number, record in found.items()} == {0: sent["sid"], 1: queued["sid"]}  # type: ignore[index]
    asked = [entry.query_string for entry in emulator.journal][before:]
    assert sum("To=" in query for query in asked) <= 3
    assert len(asked) <= 7


async def test_another_message_to_the_same_phone_answers_nothing(emulator: Emulator, open_client, monkeypatch):
    """What stands at the far end of a long list is asked for, though something to its recipient was seen."""
    async with open_client() as client:
        since = await long_list(client, emulator, monkeypatch)
        await client.send(message(200, "another"))
        emulator.clock.advance(minutes=10)
        emulator.clock.freeze()  # the next one stays in the queue
        queued = await client.send(message(200))
        emulator.quirks.set(unsent="last")
        monkeypatch.setattr(settle, "datetime", Later)
        found = await Reconciler(client)([(item(message(200), 0), since)], none_taken)
    assert {number: record["sid"] for number, record in found.items()} == {0: queued["sid"]}  # type: ignore[index]


class Later(datetime):
    """A clock beside the emulator's, which was moved."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(hours=3)


async def test_what_a_list_can_t_tell_apart(emulator: Emulator, open_client, since):
    content: dict[str, Any] = {"to": "+14155550001", "from_": "+15005550006", "content_sid": "HX" + "1" * 32}
    requests = [Messages.create(**content, content_variables={"1": str(index)}) for index in range(3)]
    unsure = [(item(request, index), since) for index, request in enumerate(requests)]
    async with open_client() as client:
        settler = Reconciler(client)
        assert await settler(unsure, none_taken) == {}
        for request in requests[:2]:
            await client.send(request)
        found = await settler(unsure, none_taken)
        assert all(isinstance(found[index], OutcomeUnresolved) for index in range(3))
        assert set(found[0].candidates) == {made["sid"] for made in emulator.messages}  # type: ignore[union-attr]
        await client.send(requests[2])
        found = await settler(unsure, none_taken)
        assert {record["sid"] for record in found.values()} == {made["sid"] for made in emulator.messages}  # type: ignore[index]
        await client.send(requests[2])
        found = await settler(unsure, known(emulator.messages[0]["sid"]))
        assert {record["sid"] for record in found.values()} == {made["sid"] for made in emulator.messages[1:]}  # type: ignore[index]


async def test_what_is_of_another_row_is_not_taken_for_this_one(emulator: Emulator, open_client, since):
    content: dict[str, Any] = {"to": "+14155550001", "from_": "+15005550006", "content_sid": "HX" + "1" * 32}
    second = Messages.create(**content, content_variables={"1": "second"})
    async with open_client() as client:
        first = await client.send(Messages.create(**content, content_variables={"1": "first"}))
        assert await Reconciler(client)([(item(second, 1), since)], known(first["sid"])) == {}


async def test_what_fits_one_exactly_is_not_the_others(emulator: Emulator, open_client, since):
    """A text and a template to one phone: the template's text is not known, so that any message fits it."""
    text = message(1)
    template = Messages.create(to="+14155550001", from_="+15005550006", content_sid="HX" + "1" * 32)
    unsure = [(item(text, 0), since), (item(template, 1), since)]
    async with open_client() as client:
        sent = await client.send(text)
        assert await Reconciler(client)(unsure, none_taken) == {0: sent}
        made = await client.send(template)
        assert await Reconciler(client)(unsure, none_taken) == {0: sent, 1: made}


async def test_one_record_is_not_given_to_two(emulator: Emulator, open_client, since):
    """Two messages of one text, of which Twilio lists that one has a picture, or doesn't say yet."""
    plain, picture = message(1), message(1, media_url="https://example.com/a.png")
    unsure = [(item(plain, 0), since), (item(picture, 1), since)]
    async with open_client() as client:
        await client.send(plain)
        found = await Reconciler(client)(unsure, none_taken)
    assert all(isinstance(found[number], OutcomeUnresolved) for number in range(2))


async def test_not_listed_is_not_sent_where_that_was_asked_for(open_client, since):
    async with open_client() as client:
        asked = await Reconciler(client, "fail")([(item(message(1), 1), since)], none_taken)
        obscure = item(message(1, address_retention="obfuscate"), 1)
        hidden = await Reconciler(client)([(obscure, since)], none_taken)
    assert isinstance(asked[1], OutcomeUnresolved)
    assert isinstance(hidden[1], OutcomeUnresolved)


async def test_states(emulator: Emulator, open_client, monkeypatch):
    async with open_client() as client:
        sids = [(await client.send(message(index)))["sid"] for index in range(5)]
        emulator.clock.advance(hours=1)
        before = len(emulator.journal)
        found = await fetch_statuses(client, [*sids, "SM" + "0" * 32])
    assert {sid: status for sid, (status, *_) in found.items()} == dict.fromkeys(sids, "delivered")
    assert len(emulator.journal) - before == 2

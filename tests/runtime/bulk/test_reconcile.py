"""Reconciliation of many messages with Twilio's list; each record belongs to at most one of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import OutcomeUnresolved
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import reconcile as reconcile_module
from airflow_provider_twilio.runtime.bulk.checkpoints import ClaimedSids
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.bulk.reconcile import Reconciler, fetch_statuses
from airflow_provider_twilio.runtime.idempotency.intent import Window


def item(request: Request[Any], number: int) -> WorkItem:
    numbered = WorkItem(request)
    numbered.number = number
    return numbered


def message(index: int, body: str = "hello", **options: Any) -> Request[Any]:
    return Messages.create(to=f"+1415555{index:04}", from_="+15005550006", body=body, **options)


async def none_claimed(sids: Collection[str]) -> set[str]:
    return set()


def claimed(*owned: str) -> ClaimedSids:
    async def claimed_sids(sids: Collection[str]) -> set[str]:
        return set(sids) & set(owned)

    return claimed_sids


def window(start: datetime) -> tuple[Window, ...]:
    """Return the windows of a process whose clock agreed with Twilio's, and that sent for an hour."""
    return (Window(start, start + timedelta(hours=1), 0.0),)


@pytest.fixture
def since() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
@pytest.mark.parametrize("page", [1000, 10])
async def test_reconciler_finds_the_messages_that_were_sent(
    emulator: Emulator, open_client, since, unsent: str, page: int, monkeypatch
):
    from airflow_provider_twilio.api import listing

    monkeypatch.setattr(listing, "MAX_PAGE_SIZE", page)
    emulator.quirks.set(unsent=unsent)
    async with open_client() as client:
        sent = {index: (await client.send(message(index)))["sid"] for index in range(0, 40, 2)}
        unresolved = [(item(message(index), index), window(since)) for index in range(40)]
        found = await Reconciler(client)(unresolved, none_claimed)
    assert {number: record["sid"] for number, record in found.items()} == sent  # type: ignore[index]


async def test_reconciler_ignores_older_messages(emulator: Emulator, open_client, since):
    async with open_client() as client:
        await client.send(message(1))
        sent_after = since + timedelta(minutes=10)
        assert await Reconciler(client)([(item(message(1), 1), window(sent_after))], none_claimed) == {}


async def test_reconciler_ignores_messages_created_after_the_lease(emulator: Emulator, open_client, since):
    async with open_client() as client:
        own = await client.send(message(1))
        emulator.clock.advance(hours=2)
        later = await client.send(message(2))
        unresolved = [(item(message(index), index), window(since)) for index in (1, 2)]
        found = await Reconciler(client)(unresolved, none_claimed)
        assert {number: record["sid"] for number, record in found.items()} == {1: own["sid"]}  # type: ignore[index]
        windows = (*window(since), *window(since + timedelta(hours=2)))  # of two processes
        found = await Reconciler(client)([(item(message(2), 2), windows)], none_claimed)
    assert found[2]["sid"] == later["sid"]  # type: ignore[index]


@pytest.mark.parametrize("clock_error", [16.0, -16.0, 600.0])
async def test_reconciler_corrects_a_wrong_clock(emulator: Emulator, open_client, since, clock_error: float):
    async with open_client() as client:
        sent = await client.send(message(1))
        start = since - timedelta(seconds=clock_error)
        windows = (Window(start, start + timedelta(seconds=5), clock_error),)
        found = await Reconciler(client)([(item(message(1), 1), windows)], none_claimed)
    assert found[1]["sid"] == sent["sid"]  # type: ignore[index]


@pytest.mark.parametrize("clock_error", [60.0, -60.0, 600.0])
async def test_reconciler_with_unknown_clock_fails_a_message_that_only_the_time_excludes(
    emulator: Emulator, open_client, since, clock_error: float
):
    async with open_client() as client:
        sent = await client.send(message(1))
        start = since - timedelta(seconds=clock_error)
        windows = (Window(start, start + timedelta(seconds=5)),)
        unresolved = [(item(message(1), 1), windows), (item(message(2), 2), windows)]
        found = await Reconciler(client)(unresolved, none_claimed)
        assert isinstance(found[1], OutcomeUnresolved)
        assert sent["sid"] in str(found[1])
        assert 2 not in found  # Twilio lists no such message
        assert await Reconciler(client)(unresolved[:1], claimed(sent["sid"])) == {}


async def long_list(client: AsyncClient, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Fill ten pages with messages that are two hours old, and return the emulator's time."""
    from airflow_provider_twilio.api import listing

    monkeypatch.setattr(listing, "MAX_PAGE_SIZE", 10)
    for index in range(100):
        await client.send(message(index, "old"))
    emulator.clock.advance(hours=2)
    return datetime.fromtimestamp(emulator.clock.now(), UTC)


async def test_reconciler_reads_only_the_newest_pages_of_a_long_list(emulator: Emulator, open_client, monkeypatch):
    async with open_client() as client:
        since = await long_list(client, emulator, monkeypatch)
        sent = await client.send(message(200))
        # A queued message, which the emulator lists last.
        queued = await client.send(Messages.create(to="+15005559012", from_="+15005550006", body="hello"))
        emulator.quirks.set(unsent="last")
        before = len(emulator.journal)
        unresolved = [
            (item(message(200), 0), window(since)),
            (item(Messages.create(to="+15005559012", from_="+15005550006", body="hello"), 1), window(since)),
            (item(message(201), 2), window(since)),
        ]
        monkeypatch.setattr(reconcile_module, "datetime", LaterDatetime)
        found = await Reconciler(client)(unresolved, none_claimed)
    assert {number: record["sid"] for number, record in found.items()} == {0: sent["sid"], 1: queued["sid"]}  # type: ignore[index]
    queries = [entry.query_string for entry in emulator.journal][before:]
    assert sum("To=" in query for query in queries) <= 3
    assert len(queries) <= 7


async def test_reconciler_queries_a_recipient_whose_newest_message_differs(
    emulator: Emulator, open_client, monkeypatch
):
    """A message at the end of a long list is found, although a newer message to its recipient was read."""
    async with open_client() as client:
        since = await long_list(client, emulator, monkeypatch)
        await client.send(message(200, "another"))
        emulator.clock.advance(minutes=10)
        emulator.clock.freeze()  # the next message stays queued
        queued = await client.send(message(200))
        emulator.quirks.set(unsent="last")
        monkeypatch.setattr(reconcile_module, "datetime", LaterDatetime)
        found = await Reconciler(client)([(item(message(200), 0), window(since))], none_claimed)
    assert {number: record["sid"] for number, record in found.items()} == {0: queued["sid"]}  # type: ignore[index]


class LaterDatetime(datetime):
    """A clock that is as far ahead as the emulator's."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(hours=3)


async def test_reconciler_assigns_indistinguishable_records_only_if_none_is_missing(
    emulator: Emulator, open_client, since
):
    content: dict[str, Any] = {"to": "+14155550001", "from_": "+15005550006", "content_sid": "HX" + "1" * 32}
    requests = [Messages.create(**content, content_variables={"1": str(index)}) for index in range(3)]
    unresolved = [(item(request, index), window(since)) for index, request in enumerate(requests)]
    async with open_client() as client:
        reconciler = Reconciler(client)
        assert await reconciler(unresolved, none_claimed) == {}
        for request in requests[:2]:
            await client.send(request)
        found = await reconciler(unresolved, none_claimed)
        assert all(isinstance(found[index], OutcomeUnresolved) for index in range(3))
        assert set(found[0].candidates) == {message["sid"] for message in emulator.messages}  # type: ignore[union-attr]
        await client.send(requests[2])
        found = await reconciler(unresolved, none_claimed)
        assert {record["sid"] for record in found.values()} == {message["sid"] for message in emulator.messages}  # type: ignore[index]
        await client.send(requests[2])
        found = await reconciler(unresolved, claimed(emulator.messages[0]["sid"]))
        assert {record["sid"] for record in found.values()} == {message["sid"] for message in emulator.messages[1:]}  # type: ignore[index]


async def test_reconciler_ignores_records_that_other_items_have_claimed(emulator: Emulator, open_client, since):
    content: dict[str, Any] = {"to": "+14155550001", "from_": "+15005550006", "content_sid": "HX" + "1" * 32}
    second = Messages.create(**content, content_variables={"1": "second"})
    async with open_client() as client:
        first = await client.send(Messages.create(**content, content_variables={"1": "first"}))
        assert await Reconciler(client)([(item(second, 1), window(since))], claimed(first["sid"])) == {}


async def test_reconciler_assigns_an_exact_match_before_partial_ones(emulator: Emulator, open_client, since):
    """A body and a template to one recipient: the template's body is unknown, so any message matches it partially."""
    plain = message(1)
    template = Messages.create(to="+14155550001", from_="+15005550006", content_sid="HX" + "1" * 32)
    unresolved = [(item(plain, 0), window(since)), (item(template, 1), window(since))]
    async with open_client() as client:
        sent = await client.send(plain)
        assert await Reconciler(client)(unresolved, none_claimed) == {0: sent}
        from_template = await client.send(template)
        assert await Reconciler(client)(unresolved, none_claimed) == {0: sent, 1: from_template}


async def test_reconciler_does_not_assign_one_record_to_two_items(emulator: Emulator, open_client, since):
    """Two messages with one body, one of them with media that Twilio's list may not show yet."""
    plain, with_media = message(1), message(1, media_url="https://example.com/a.png")
    unresolved = [(item(plain, 0), window(since)), (item(with_media, 1), window(since))]
    async with open_client() as client:
        await client.send(plain)
        found = await Reconciler(client)(unresolved, none_claimed)
    assert all(isinstance(found[number], OutcomeUnresolved) for number in range(2))


async def test_reconciler_fails_unlisted_messages_where_required(open_client, since):
    async with open_client() as client:
        required = await Reconciler(client, "fail")([(item(message(1), 1), window(since))], none_claimed)
        obfuscated = item(message(1, address_retention="obfuscate"), 1)
        hidden = await Reconciler(client)([(obfuscated, window(since))], none_claimed)
    assert isinstance(required[1], OutcomeUnresolved)
    assert isinstance(hidden[1], OutcomeUnresolved)


async def test_fetch_statuses_with_invalid_error_code_leaves_it_empty(caplog: pytest.LogCaptureFixture):
    class Page:
        records = (Message(sid="SM" + "1" * 32, status="failed", error_code="none", price="-0.1", price_unit="USD"),)

    class Client:
        async def iter_pages(self, listing: Any) -> Any:
            yield Page

    sid = str(Page.records[0].sid)
    client: Any = Client()
    assert await fetch_statuses(client, [sid]) == {sid: ("failed", None, "-0.1", "USD")}
    assert f"Leaving the error code of {sid} empty: Message.error_code is not" in caplog.text


async def test_fetch_statuses_lists_pages_of_other_messages_between(emulator: Emulator, open_client):
    """Others have sent three pages since, and three pages between the two halves."""
    state = emulator.state
    async with open_client() as client:
        first = (await client.send(message(1)))["sid"]
        template = state.main.messages.get(first)
        assert template is not None
        batches: list[list[str]] = [[], [], [], []]
        for batch in batches:
            emulator.clock.advance(10)
            with state.lock:
                for _ in range(3000):
                    batch.append(state.new_sid("SM"))
                    state.main.messages.add(replace(template, sid=batch[-1], seq=state.next_seq()))
        sids = batches[0] + batches[2]
        before = len(emulator.journal)
        found = await fetch_statuses(client, sids)
    assert found.keys() == set(sids)
    assert len(emulator.journal) - before == 12


async def test_fetch_statuses_reads_the_newest_pages_and_then_single_messages(
    emulator: Emulator, open_client, monkeypatch
):
    async with open_client() as client:
        sids = [(await client.send(message(index)))["sid"] for index in range(5)]
        emulator.clock.advance(hours=1)
        before = len(emulator.journal)
        found = await fetch_statuses(client, [*sids, "SM" + "0" * 32])
    assert {sid: status for sid, (status, *_) in found.items()} == dict.fromkeys(sids, "delivered")
    assert len(emulator.journal) - before == 2


@pytest.mark.parametrize(
    ("start", "end", "is_possible"),
    [(10, 70, True), (-130, -10, True), (70, 130, False), (-190, -70, False)],  # minutes after the message was sent
)
async def test_reconciler_window_of_unknown_clock_fails_messages_up_to_an_hour_away(
    emulator: Emulator, open_client, since, start: int, end: int, is_possible: bool
):
    windows = (Window(since + timedelta(minutes=start), since + timedelta(minutes=end)),)
    async with open_client() as client:
        sent = await client.send(message(1))
        found = await Reconciler(client)([(item(message(1), 1), windows)], none_claimed)
        others = await Reconciler(client)([(item(message(1), 1), windows)], claimed(sent["sid"]))
        known = (Window(windows[0].start, windows[0].end, 0.0),)
        certain = await Reconciler(client)([(item(message(1), 1), known)], none_claimed)
    assert found.keys() == ({1} if is_possible else set())
    if is_possible:
        assert isinstance(found[1], OutcomeUnresolved)
        assert found[1].candidates == (sent["sid"],)
    assert others == certain == {}


@pytest.mark.parametrize(
    ("options", "sender"),
    [
        ([{}, {}], "+15005550006"),
        ([{}, {"from_": "+15005550007"}], None),
        ([{}, {"messaging_service_sid": "MG" + "1" * 32}], None),
        ([{"messaging_service_sid": "MG" + "1" * 32}] * 2, None),
        ([{"from_": "Branch"}] * 2, None),
    ],
    ids=str,
)
def test_common_sender_of_messages_is_a_number_or_none(since, options: list[dict[str, Any]], sender: str | None):
    content = {"to": "+14155550001", "from_": "+15005550006", "body": "hello"}
    requests = [Messages.create(**{**content, **changes}) for changes in options]
    unresolved = [(item(request, number), window(since)) for number, request in enumerate(requests)]
    assert reconcile_module._common_sender(unresolved) == sender


@pytest.mark.parametrize("clock_offset", [0.0, None])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_reconciler_like_messages_of_different_windows_fail_together(
    emulator: Emulator, open_client, since, order: tuple[int, int], clock_offset: float | None
):
    """One record, in the window of one of two like messages: neither is sent again."""
    starts = since if clock_offset is not None else since + timedelta(minutes=30), since + timedelta(hours=2)
    windows = [(Window(start, start + timedelta(hours=1), clock_offset),) for start in starts]
    unresolved = [(item(message(1), number), windows[index]) for number, index in enumerate(order)]
    async with open_client() as client:
        await client.send(message(1))
        found = await Reconciler(client)(unresolved, none_claimed)
    assert [type(found[number]) for number in range(2)] == [OutcomeUnresolved] * 2


async def test_reconciler_window_of_unknown_clock_covers_time_of_this_machine(
    emulator: Emulator, open_client, since, monkeypatch
):
    class FastDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(minutes=30)

    monkeypatch.setattr(reconcile_module, "datetime", FastDatetime)
    start = since + timedelta(minutes=29)
    async with open_client() as client:
        sent = await client.send(message(1))
        windows = (Window(start, start + timedelta(minutes=2)),)
        assert await Reconciler(client)([(item(message(1), 1), windows)], none_claimed) == {1: sent}


async def test_reconciler_two_bodies_to_one_recipient_finds_the_one_that_was_sent(
    emulator: Emulator, open_client, since
):
    unresolved = [(item(message(1, body), number), window(since)) for number, body in enumerate(("first", "second"))]
    async with open_client() as client:
        sent = await client.send(message(1, "second"))
        assert await Reconciler(client)(unresolved, none_claimed) == {1: sent}

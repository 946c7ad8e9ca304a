"""Lists: pages, limits and the next page."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.errors import BadParameter, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.records import Record
from tests.support.responses import TO, first_page, json_response


def test_listing_and_page_requests_survive_pickling():
    listing = Messages.list(to=TO, date_sent_after=date(2026, 1, 1), limit=7)
    request = first_page(listing)
    assert pickle.loads(pickle.dumps(listing)) == listing
    assert pickle.loads(pickle.dumps(request)) == request
    page = request.parser.parse(request, json_response({"messages": [], "next_page_uri": "/2010-04-01/x.json?Page=1"}))
    assert pickle.loads(pickle.dumps(page)) == page


def test_listing_is_comparable_hashable_and_picklable():
    listing = Messages.list(to=TO, limit=5, page_size=3)
    same = pickle.loads(pickle.dumps(listing))
    assert (same, hash(same)) == (listing, hash(listing))
    assert listing.replace() == listing
    assert listing.replace(limit=4) == Messages.list(to=TO, limit=4, page_size=3) != listing
    assert listing.first_page() == same.first_page()
    with pytest.raises(BadParameter, match="page_size"):
        listing.replace(page_size=1001)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "none"},
        {"messages": [], "others": []},
        {"messages": ["text"]},
        {"messages": [None]},
        {"meta": {"key": "messages"}, "others": []},
        {"meta": {"key": "messages"}, "messages": None},
    ],
)
def test_listing_parse_rejects_object_without_records(body: dict[str, Any]):
    request = first_page(Messages.list())
    with pytest.raises(ServerError, match="an object without a list of records"):
        request.parser.parse(request, json_response(body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["messages", "meta", "key", "next_page_uri", "next_page_url", "x"]), inner
            )
        ),
    )
)
def test_listing_parse_of_any_json_returns_page_or_twilio_error(body: Any):
    request = first_page(Messages.list())
    try:
        page = request.parser.parse(request, json_response(body))
    except TwilioError:
        return
    assert all(isinstance(record, Message) for record in page.records)


def follow(listing: Listing[Any], bodies: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Follow a list as a client does; return its records and the queries of its page requests."""
    found: list[Any] = []
    queries: list[str] = []
    request = listing.first_page()
    while request is not None:
        queries.append(request.query())
        page = request.parser.parse(request, json_response(bodies[request.get("Page") or "0"]))
        found += page.records
        request = page.next
    return found, queries


def numbered(*sids: int) -> list[dict[str, str]]:
    return [{"sid": f"SM{number:032d}"} for number in sids]


NEXT = "/2010-04-01/Accounts/AC1/Messages.json?DateSent%3E=2026-01-01&To=%2B1415&PageSize=2&Page={0}&PageToken=PA{0}"


def test_listing_follows_pages_to_the_last():
    bodies = {
        "0": {"messages": numbered(1, 2), "next_page_uri": NEXT.format(1), "page": 0},
        "1": {"messages": numbered(), "next_page_uri": NEXT.format(2), "page": 1},
        "2": {"messages": numbered(3), "next_page_uri": None, "page": 2},
    }
    found, queries = follow(Messages.list(page_size=2), bodies)
    assert found == numbered(1, 2, 3)
    assert queries[1] == "DateSent%3E=2026-01-01&To=%2B1415&PageSize=2&Page=1&PageToken=PA1"


@pytest.mark.parametrize(
    ("limit", "size", "count", "requests"),
    [
        (0, None, 0, 0),
        (1, "1", 1, 1),
        (2, "2", 2, 1),
        (3, "2", 3, 2),
        (4, "2", 4, 2),
        (9, "2", 4, 2),
        (None, "2", 4, 2),
    ],
)
def test_listing_limit_bounds_pages_and_records(limit: int | None, size: str | None, count: int, requests: int):
    bodies = {
        "0": {"messages": numbered(1, 2), "next_page_uri": NEXT.format(1)},
        "1": {"messages": numbered(3, 4), "next_page_uri": None},
    }
    listing = Messages.list(limit=limit, page_size=2)
    request = listing.first_page()
    assert (request and request.get("PageSize")) == size
    found, queries = follow(listing, bodies)
    assert (len(found), len(queries)) == (count, requests)


def test_listing_next_page_keeps_empty_filters():
    listing = Messages.list()
    body = {"messages": [], "next_page_uri": "/2010-04-01/x.json?To=&Page=1"}
    page = listing.parse(first_page(listing), json_response(body))
    assert page.next is not None
    assert page.next.data == (("To", ""), ("Page", "1"))


def test_listing_requests_largest_page_by_default():
    assert first_page(Messages.list()).get("PageSize") == "1000"
    assert first_page(Messages.list(limit=5000)).get("PageSize") == "1000"
    assert first_page(Messages.list(limit=30)).get("PageSize") == "30"


def test_listing_follows_next_page_url_in_meta():
    listing = Listing("https://messaging.twilio.com/v1/Services", Record)
    request = first_page(listing)
    next_url = "https://messaging.twilio.com/v1/Services?PageSize=1000&Page=1&PageToken=DNMG"
    body = {"meta": {"key": "services", "next_page_url": next_url}, "services": [{"sid": "MG1"}], "links": ["x"]}
    page = listing.parse(request, json_response(body))
    assert page.records == [{"sid": "MG1"}]
    assert page.next is not None
    assert page.next.template == "https://messaging.twilio.com/v1/Services"
    assert page.next.data == (("PageSize", "1000"), ("Page", "1"), ("PageToken", "DNMG"))
    last = body | {"meta": {"key": "services", "next_page_url": None}}
    assert listing.parse(request, json_response(last)).next is None


@pytest.mark.parametrize(
    ("path", "next_url"),
    [
        ("Messages.json", "https://evil.example/2010-04-01/x.json"),
        ("Messages.json", "//evil.example/2010-04-01/x.json"),
        ("Messages.json", "http:evil"),
        ("https://messaging.twilio.com/v1/Services", "https://evil.example/v1/Services?Page=1"),
        ("https://messaging.twilio.com/v1/Services", "http://messaging.twilio.com/v1/Services?Page=1"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com.evil.example/"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com@evil.example/"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com:444/v1/Services"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.eviltwilio.com/v1/Services"),
        ("https://messaging.twilio.com/v1/Services", "https://content.twilio.com/v1/Services"),
        ("Messages.json", "https://messaging.twilio.com/v1/Services"),
    ],
)
def test_listing_rejects_next_page_on_another_host(path: str, next_url: str):
    listing = Listing(path, Record)
    body = {"meta": {"key": "services", "next_page_url": next_url}, "services": []}
    with pytest.raises(TwilioError, match="another host"):
        listing.parse(first_page(listing), json_response(body))


def test_listing_accepts_next_page_in_another_region():
    listing = Listing("https://messaging.twilio.com/v1/Services", Record)
    next_url = "https://messaging.dublin.ie1.twilio.com/v1/Services?Page=1"
    body = {"meta": {"key": "services", "next_page_url": next_url}, "services": []}
    page = listing.parse(first_page(listing), json_response(body))
    assert page.next is not None


V3 = "https://intelligence.twilio.com/v3/Conversations"


@pytest.mark.parametrize("key", ["nextToken", "next_token"])
def test_listing_follows_next_token_in_meta(key: str):
    listing: Listing[Any] = Listing(V3, Record, (("Channel", "voice"),))
    request = first_page(listing)
    tokens: list[str | None] = []
    for token in ("T1", "T2", None):
        body = {"meta": {"key": "conversations", key: token, "pageSize": 2}, "conversations": [{"sid": token}]}
        page = listing.parse(request, json_response(body))
        tokens.append(page.records[0]["sid"])
        if page.next is None:
            break
        request = page.next
        assert request.template == V3
        assert request.data == (("Channel", "voice"), ("PageSize", "1000"), ("PageToken", token))
    assert tokens == ["T1", "T2", None]


def test_listing_last_page_may_lack_next_token():
    listing: Listing[Any] = Listing(V3, Record)
    body = {"meta": {"key": "items", "previousToken": "T1", "pageSize": 2}, "items": []}
    assert listing.parse(first_page(listing), json_response(body)).next is None


@pytest.mark.parametrize(
    "paging",
    [
        {"meta": {}},
        {"meta": {"key": "items", "page": 0, "page_size": 50}},
        {"meta": {"key": "items", "next": "https://x"}},
        {"meta": {"next_page_url": 5}},
        {"meta": {"nextToken": ["T1"]}},
        {"meta": "none"},
        {"nextToken": "T1"},
        {"pagination": {"next": "https://x"}},
    ],
)
def test_listing_unknown_paging_raises_instead_of_ending(paging: dict[str, Any]):
    listing: Listing[Any] = Listing(V3, Record)
    with pytest.raises(ServerError, match="does not state in a known form whether another follows"):
        listing.parse(first_page(listing), json_response({**paging, "items": [{"sid": "1"}]}))


@pytest.mark.parametrize("cycle", [1, 2, 3, 7])
@pytest.mark.parametrize("lead", [0, 1, 5])
def test_listing_pages_in_a_circle_raise(cycle: int, lead: int):
    listing = Messages.list(page_size=1)
    request = first_page(listing)
    position, pages = 0, 0
    error = None
    while error is None and pages < 100:
        pages += 1
        position = position + 1 if position < lead + cycle - 1 else lead
        body = {"messages": numbered(position), "next_page_uri": NEXT.format(position or "")}
        try:
            page = request.parser.parse(request, json_response(body))
        except TwilioError as caught:
            error = caught
        else:
            assert page.next is not None
            request = page.next
    assert "has been read already" in str(error)
    assert pages < 40


def test_listing_page_that_links_to_itself_is_read_once():
    listing: Listing[Any] = Listing("https://messaging.twilio.com/v1/Services", Record, page_size=5)
    request = first_page(listing)
    body = {"meta": {"key": "x", "next_page_url": "https://messaging.twilio.com/v1/Services?PageSize=5"}, "x": []}
    with pytest.raises(TwilioError, match="has been read already"):
        listing.parse(request, json_response(body))


@pytest.mark.parametrize("limit", [-1, True, 1.5, "ten", "-1", "²", []])
def test_listing_rejects_invalid_limit(limit: Any):
    with pytest.raises(BadParameter, match="limit is"):
        Messages.list(limit=limit)


@pytest.mark.parametrize("size", [0, 1001, -1, "1001", True])
def test_listing_rejects_invalid_page_size(size: Any):
    with pytest.raises(BadParameter, match=r"page_size is .*1 to 1000"):
        Messages.list(page_size=size)


def test_listing_accepts_limit_as_text():
    assert first_page(Messages.list(limit="25")).get("PageSize") == "25"  # type: ignore[arg-type]

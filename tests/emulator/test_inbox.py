"""Tests of the inbox over HTTP. ``tests/browser`` tests it in a real browser."""

from __future__ import annotations

import time
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.emulator.faults import Fault
from airflow_provider_twilio.emulator.inbox import choices, page, phones
from airflow_provider_twilio.emulator.magic_numbers import (
    CALL_BEHAVIORS,
    CALL_REJECTIONS,
    MESSAGE_BEHAVIORS,
    MESSAGE_REJECTIONS,
)
from tests.emulator.conftest import Api

PHONE = "+14155550142"
HOSTILE = "<img src=x onerror=alert(1)>'\"</script><script>alert(2)</script>{{ 7*7 }}"


class Page(HTMLParser):
    """The parsed HTML of a page or of a part: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def all(self, tag: str, **attrs: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag and attrs.items() <= attributes.items()]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def bubbles(self) -> list[str]:
        return [str(attributes["id"]) for attributes in self.all("article")]


class Inbox:
    """A client that sends the requests of the page's script."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def page(self, **query: str) -> Page:
        response = requests.get(self.emulator.url, params=query, timeout=10)
        assert response.status_code == 200
        return Page(response.text)

    def live(self, **query: Any) -> dict[str, Any]:
        response = requests.get(self.emulator.url + "/_emulator/inbox/live", params=query, timeout=10)
        assert response.status_code == 200, response.text
        result = response.json()
        assert isinstance(result, dict)
        return result

    def part(self, name: str, **query: Any) -> Page:
        return Page(self.live(**query)["parts"][name]["html"])

    def conversation(self, phone: str = PHONE, **query: Any) -> Page:
        return self.part("conversation", phone=phone, **query)

    def post(self, name: str, value: Any, **headers: str) -> requests.Response:
        return requests.post(f"{self.emulator.url}/_emulator/{name}", json=value, headers=headers, timeout=10)


@pytest.fixture
def inbox(emulator: Emulator) -> Inbox:
    return Inbox(emulator)


# ------------------------------------------------------------------ the page


def test_page_resources_are_served_by_the_emulator(inbox: Inbox) -> None:
    html = inbox.page()
    loaded = [attributes["src"] for attributes in html.all("script") + html.all("img")] + [
        attributes["href"] for attributes in html.all("link")
    ]
    assert len(loaded) == 4
    for address in loaded:
        assert address is not None
        response = requests.get(inbox.emulator.url + address, timeout=5)
        assert response.status_code == 200
        assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "")


def test_page_has_no_inline_scripts_or_styles(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    html = inbox.page(phone=PHONE)
    for tag, attributes in html.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
    assert all("src" in attributes for attributes in html.all("script"))
    assert not html.all("style")


def test_content_security_policy_allows_own_resources_only(emulator: Emulator) -> None:
    for path in ("/", "/_emulator/inbox/script.js", "/_emulator/inbox/live", "/_emulator/inbox/nothing"):
        headers = requests.get(emulator.url + path, timeout=5).headers
        rules = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["frame-ancestors"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_page_shows_connection_uri(inbox: Inbox) -> None:
    assert inbox.emulator.connection_uri in inbox.page().text


def test_journal_excludes_inbox_requests(inbox: Inbox) -> None:
    inbox.page()
    inbox.live()
    assert len(inbox.emulator.journal) == 0


# ------------------------------------------------------------------ access

CROSS_SITE_HEADERS = [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("headers", CROSS_SITE_HEADERS, ids=str)
def test_cross_site_requests_are_rejected(inbox: Inbox, api: Api, headers: dict[str, str]) -> None:
    call = start_call(api)
    for path in ("/", "/_emulator/inbox/live", "/_emulator/inbox/script.js"):
        assert requests.get(inbox.emulator.url + path, headers=headers, timeout=5).status_code == 403
    # Browsers send these content types, and requests without a body, to other sites without a preflight request.
    assert inbox.post("inbox/hang-up", {"sid": call}, **headers).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        url = f"{inbox.emulator.url}/_emulator/inbox/hang-up"
        assert requests.post(url, data="{}", headers={"Content-Type": kind} | headers, timeout=5).status_code == 403
    assert inbox.post("messages", {"from": PHONE, "to": inbox.emulator.phone_number}, **headers).status_code == 403
    assert inbox.emulator.messages == []
    assert [c["status"] for c in inbox.emulator.calls] == ["in-progress"]


def test_cross_site_navigation_opens_page_only(emulator: Emulator) -> None:
    """Airflow's web UI is another site. Its link to a message is a navigation, whose response it cannot read."""
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site} | NAVIGATION
        assert requests.get(emulator.url, headers=headers, timeout=5).status_code == 200
        framed = headers | {"Sec-Fetch-Dest": "iframe"}
        assert requests.get(emulator.url, headers=framed, timeout=5).status_code == 403
        assert requests.get(emulator.url, headers=headers | {"Host": "evil.example"}, timeout=5).status_code == 403
        assert requests.post(emulator.url, headers=headers, timeout=5).status_code == 403
        live = emulator.url + "/_emulator/inbox/live"
        assert requests.get(live, headers=headers, timeout=5).status_code == 403


def test_inbox_unknown_path_or_method_is_rejected(emulator: Emulator) -> None:
    inbox = emulator.url + "/_emulator/inbox/"
    assert requests.get(inbox + "page.py", timeout=5).status_code == 404
    assert requests.get(inbox + "../inbox/page.py", timeout=5).status_code == 404
    assert requests.get(inbox + "%2e%2e/page.py", timeout=5).status_code == 404
    assert requests.delete(inbox + "live", timeout=5).status_code == 405
    assert requests.get(inbox + "hang-up", timeout=5).status_code == 405
    assert requests.post(inbox + "hang-up", data="{}", timeout=5).status_code == 415


# ------------------------------------------------------------------ conversations


def start_call(api: Api, to: str = PHONE) -> str:
    """Make a call, and advance the clock until it is in progress."""
    twiml = "<Response><Say>Good morning</Say><Pause length='60'/></Response>"
    sid = api.post("Calls.json", From=api.emulator.phone_number, To=to, Twiml=twiml)["sid"]
    api.emulator.clock.advance(10)
    return str(sid)


def test_live_returns_changed_parts_only(inbox: Inbox, api: Api) -> None:
    sid = api.send(to=PHONE, body="Hello there")["sid"]
    versions: dict[str, str] = {}
    seen = []
    for _ in range(4):
        state = inbox.live(phone=PHONE, versions=",".join(f"{name}:{version}" for name, version in versions.items()))
        versions |= {name: part["version"] for name, part in state["parts"].items()}
        assert set(state["parts"]) >= {"conversation", "phones"}
        conversation = Page(state["parts"]["conversation"]["html"])
        assert conversation.bubbles == [sid]
        seen.append(str(conversation.all("article")[0]["aria-label"]).rpartition(" ")[2])
        again = inbox.live(phone=PHONE, versions=",".join(f"{name}:{version}" for name, version in versions.items()))
        assert again["parts"] == {}  # the clock is frozen
        inbox.emulator.clock.advance(0.7)
    assert seen == ["queued", "sending", "sent", "delivered"]


@pytest.mark.parametrize("number", [to for to, delivery in MESSAGE_BEHAVIORS.items() if delivery.error_code])
def test_conversation_failed_message_shows_error_code_and_explanation(inbox: Inbox, api: Api, number: str) -> None:
    api.send(to=number)
    inbox.emulator.clock.advance(60)
    error = MESSAGE_BEHAVIORS[number].error_code
    assert error is not None
    conversation = inbox.conversation(number)
    assert "bad" in str(conversation.all("article")[0]["class"])
    assert str(error) in conversation.words
    assert codes.MEANINGS[error][1:] in conversation.words
    assert conversation.all("a", href=codes.page(error))
    assert inbox.part("phones").all("span", **{"class": "failed"})
    assert str(error) in inbox.part("header", phone=number).words


def test_conversation_delivered_message_shows_no_failure(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    inbox.emulator.clock.advance(60)
    assert "done" in str(inbox.conversation().all("article")[0]["class"])
    assert not inbox.part("phones").all("span", **{"class": "failed"})


def test_conversation_call_shows_transcript_and_hangs_up(inbox: Inbox, api: Api) -> None:
    twiml = "<Response><Say>Good morning</Say><Pause length='60'/></Response>"
    sid = api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    assert "Good morning" not in inbox.conversation().words  # ringing
    assert not inbox.conversation().all("button")
    assert inbox.post("inbox/hang-up", {"sid": sid}).status_code == 409
    inbox.emulator.clock.advance(12)
    conversation = inbox.conversation()
    assert "Good morning" in conversation.words
    assert "in-progress" in conversation.words
    assert conversation.all("button", **{"data-action": "hang-up", "data-sid": sid})
    assert inbox.post("inbox/hang-up", {"sid": sid}).json()["status"] == "completed"
    assert not inbox.conversation().all("button")
    call = api.get(f"Calls/{sid}.json")
    assert (call["status"], call["duration"]) == ("completed", "10")
    assert inbox.post("inbox/hang-up", {"sid": sid}).status_code == 409
    assert inbox.post("inbox/hang-up", {"sid": "CA" + "0" * 32}).status_code == 404
    assert inbox.post("inbox/hang-up", {"sid": ["CA"]}).status_code == 404


def test_conversation_shows_keypad_while_gather_listens(inbox: Inbox, api: Api) -> None:
    twiml = (
        "<Response><Gather numDigits='2' timeout='10'><Say>Press two keys</Say></Gather>"
        "<Say>You were too slow</Say><Pause length='60'/></Response>"
    )
    sid = api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    offered = {"data-action": "press", "data-sid": sid}
    assert not inbox.conversation().all("button", **offered)  # ringing
    inbox.emulator.clock.advance(4)
    keys = [attributes["data-digit"] for attributes in inbox.conversation().all("button", **offered)]
    assert "".join(map(str, keys)) == "123456789*0#"
    assert "too slow" not in inbox.conversation().words  # the transcript ends at the present
    assert inbox.post(f"calls/{sid}/digits", {"digits": "1"}).status_code == 200
    assert inbox.conversation().all("button", **offered)
    assert inbox.post(f"calls/{sid}/digits", {"digits": "2"}).status_code == 200
    assert not inbox.conversation().all("button", **offered)
    assert "⌨ 12" in inbox.conversation().words


def test_phone_list_omits_dialed_call_until_it_starts(inbox: Inbox, api: Api) -> None:
    twiml = "<Response><Pause length='30'/><Dial>+14155550177</Dial></Response>"
    api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)

    def numbers() -> list[str | None]:
        return [attributes["data-phone"] for attributes in inbox.part("phones").all("a")]

    inbox.emulator.clock.advance(10)
    assert numbers() == [PHONE]
    inbox.emulator.receive_message("in between", from_="+14155550177")
    assert numbers() == ["+14155550177", PHONE]
    inbox.emulator.clock.advance(30)
    assert len(inbox.conversation("+14155550177").bubbles) == 2


def test_conversation_busy_call_shows_reason(inbox: Inbox, api: Api) -> None:
    api.post("Calls.json", From=inbox.emulator.phone_number, To="+15005559101", Twiml="<Response/>")
    inbox.emulator.clock.advance(60)
    conversation = inbox.conversation("+15005559101")
    assert "busy" in conversation.words
    assert "The line was busy" in conversation.words


def test_phone_list_merges_channels_of_one_number(inbox: Inbox, api: Api) -> None:
    number = inbox.emulator.phone_number
    sids = [
        api.send(to=PHONE)["sid"],
        api.send(to=f"whatsapp:{PHONE}", From=f"whatsapp:{number}")["sid"],
        inbox.emulator.receive_message("hi", from_=PHONE),
        inbox.emulator.receive_call(from_=PHONE),
        api.post("Calls.json", From=number, To=PHONE, Twiml="<Response/>")["sid"],
    ]
    assert inbox.conversation().bubbles == sids
    assert [attributes["data-phone"] for attributes in inbox.part("phones").all("a")] == [PHONE]
    assert [attributes.get("value") for attributes in inbox.part("reply", phone=PHONE).all("option")] == [
        f"{number} {PHONE}",
        f"whatsapp:{number} whatsapp:{PHONE}",
    ]


def test_phone_list_orders_by_newest_item_and_filters(inbox: Inbox, api: Api) -> None:
    for to in ("+14155550001", "+14155550002", "+447700900003", "+14155550001"):
        api.send(to=to)

    def numbers(**query: str) -> list[str | None]:
        return [attributes["data-phone"] for attributes in inbox.part("phones", **query).all("a")]

    assert numbers() == ["+14155550001", "+447700900003", "+14155550002"]
    assert numbers(q="+1 (415) 555") == ["+14155550001", "+14155550002"]
    assert numbers(q="999") == []
    assert numbers(limit="1") == ["+14155550001"]


def test_reply_to_alphanumeric_sender_uses_first_number(inbox: Inbox, api: Api) -> None:
    api.send(to="+447700900003", From="ACME")
    reply = inbox.part("reply", phone="+447700900003")
    assert [attributes["value"] for attributes in reply.all("option")] == [
        "+15005550006 +447700900003"
    ]  # the account's first number


def test_reply_stop_is_received_and_shown_as_opt_out(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    to, sender = str(inbox.part("reply", phone=PHONE).all("option")[0]["value"]).split()
    assert inbox.post("messages", {"from": sender, "to": to, "body": "STOP"}).status_code == 200
    (inbound,) = [m for m in api.get("Messages.json", From=PHONE)["messages"] if m["direction"] == "inbound"]
    assert (inbound["body"], inbound["to"]) == ("STOP", inbox.emulator.phone_number)
    conversation = inbox.conversation()
    assert "inbound" in str(conversation.all("article", id=inbound["sid"])[0]["class"])
    assert "Opted out" in inbox.part("header", phone=PHONE).words


def test_conversation_media_links_to_its_url(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE, MediaUrl="https://example.com/a/chart.png?size=2")
    (link,) = inbox.conversation().all("a", **{"class": "media"})
    assert link["href"] == "https://example.com/a/chart.png?size=2"
    assert link["rel"] == "noopener noreferrer"
    assert "chart.png" in inbox.conversation().words
    assert not inbox.conversation().all("img")


def test_conversation_scheduled_message_shows_send_time(inbox: Inbox, api: Api) -> None:
    service = api("POST", "/messaging.twilio.com/v1/Services", {"FriendlyName": "s"}).json()["sid"]
    owned = api.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"][0]["sid"]
    api("POST", f"/messaging.twilio.com/v1/Services/{service}/PhoneNumbers", {"PhoneNumberSid": owned})
    due = inbox.emulator.clock.utc + timedelta(hours=2)
    api.send(
        to=PHONE,
        MessagingServiceSid=service,
        ScheduleType="fixed",
        SendAt=due.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    assert f"Scheduled for {due.astimezone():%a} {due.astimezone().day}" in inbox.conversation().words


# ------------------------------------------------------------------ many items


@pytest.fixture
def long_conversation(emulator: Emulator, api: Api) -> list[str]:
    """Create a conversation of 300 messages."""
    return [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(300)]


def test_live_long_conversation_starts_at_end_and_extends_backwards(inbox: Inbox, long_conversation: list[str]) -> None:
    state = inbox.live(phone=PHONE)
    assert Page(state["parts"]["conversation"]["html"]).bubbles == long_conversation[-60:]
    assert state["last"] is None
    state = inbox.live(phone=PHONE, first=state["first"], last="", more="older")
    assert Page(state["parts"]["conversation"]["html"]).bubbles == long_conversation[-180:]
    new = inbox.emulator.receive_message("one more", from_=PHONE)
    state = inbox.live(phone=PHONE, first=state["first"], last="")
    assert Page(state["parts"]["conversation"]["html"]).bubbles == [*long_conversation[-180:], new]
    state = inbox.live(phone=PHONE, first=state["first"], more="older")
    state = inbox.live(phone=PHONE, first=state["first"], more="older")
    conversation = Page(state["parts"]["conversation"]["html"])
    assert conversation.bubbles == [*long_conversation, new]
    assert not conversation.all("button", **{"data-action": "older"})


def test_live_with_sid_opens_surrounding_items(inbox: Inbox, long_conversation: list[str]) -> None:
    state = inbox.live(sid=long_conversation[100])
    assert (state["phone"], state["found"], state["missing"]) == (PHONE, long_conversation[100], None)
    conversation = Page(state["parts"]["conversation"]["html"])
    assert conversation.bubbles == long_conversation[70:130]
    assert conversation.all("button", **{"data-action": "older"})
    assert conversation.all("button", **{"data-action": "newer"})
    inbox.emulator.receive_message("one more", from_=PHONE)
    unchanged = inbox.live(phone=PHONE, first=state["first"], last=state["last"])
    assert Page(unchanged["parts"]["conversation"]["html"]).bubbles == long_conversation[70:130]
    extended = inbox.live(phone=PHONE, first=state["first"], last=state["last"], more="newer")
    assert Page(extended["parts"]["conversation"]["html"]).bubbles == long_conversation[70:250]


def test_live_with_call_sid_opens_its_conversation(inbox: Inbox, api: Api) -> None:
    sid = start_call(api)
    assert inbox.live(sid=sid)["phone"] == PHONE


def test_live_with_unknown_sid_reports_missing(inbox: Inbox) -> None:
    sid = "SM" + "0" * 32
    state = inbox.live(sid=sid, phone=PHONE)
    assert (state["found"], state["missing"]) == (None, sid)


def test_live_reflects_deletions_and_reset(inbox: Inbox, api: Api) -> None:
    sids = [api.send(to=PHONE)["sid"] for _ in range(3)]
    other = api.send(to="+14155550001")["sid"]
    before = inbox.live(phone=PHONE)["epoch"]
    inbox.emulator.clock.advance(10)
    assert api("DELETE", f"Messages/{sids[1]}.json").status_code == 204
    assert inbox.conversation().bubbles == [sids[0], sids[2]]
    assert api("DELETE", f"Messages/{other}.json").status_code == 204
    assert [attributes["data-phone"] for attributes in inbox.part("phones").all("a")] == [PHONE]
    new = api.send(to=PHONE)["sid"]
    assert inbox.conversation().bubbles == [sids[0], sids[2], new]
    assert inbox.live(phone=PHONE)["epoch"] == before
    inbox.emulator.reset()
    state = inbox.live(phone=PHONE)
    assert state["epoch"] != before
    assert Page(state["parts"]["conversation"]["html"]).bubbles == []


def test_conversation_names_subaccount(inbox: Inbox, api: Api) -> None:
    account = api("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "North"}).json()
    number = api("POST", "IncomingPhoneNumbers.json", {"AreaCode": "415"}).json()
    moved = api("POST", f"IncomingPhoneNumbers/{number['sid']}.json", {"AccountSid": account["sid"]})
    assert moved.status_code == 200, moved.text
    inbox.emulator.receive_message("hi", from_=PHONE, to=number["phone_number"])
    assert "North" in inbox.conversation().words


def test_live_duration_grows_slower_than_message_count(inbox: Inbox, emulator: Emulator) -> None:
    def fastest_poll() -> float:
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            inbox.live(phone="+14155550000")
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    durations = []
    for n in range(10_000):
        emulator.receive_message(f"text {n}", from_=f"+1415{5550000 + n % 2500:07}")
        if n in (999, 9_999):
            durations.append(fastest_poll())
    html = inbox.page(phone="+14155550000")
    assert len(html.all("a", **{"class": "phone"})) == page.PAGE_SIZE
    assert len(html.bubbles) == 4
    assert durations[1] < 5 * durations[0]  # with ten times as many messages


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["in", "out", "call", "delete", "refresh", "reset"]), st.integers(0, 3)), max_size=25
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_phones_index_matches_account_records(emulator: Emulator, operations: list[tuple[str, int]]) -> None:
    emulator.reset()
    state = emulator.state
    index = phones.Phones(state)
    for operation, n in operations:
        number = f"+1415555010{n}"
        if operation == "in":
            emulator.receive_message("x", from_=number)
        elif operation == "call":
            emulator.receive_call(from_=number)
        elif operation == "out":
            emulator.receive_message("x", from_=f"whatsapp:{number}", to=f"whatsapp:{emulator.phone_number}")
        elif operation == "delete" and len(state.main.messages):
            state.main.messages.remove(list(state.main.messages)[n % len(state.main.messages)])
        elif operation == "reset":
            emulator.reset()
        elif operation == "refresh":
            index.refresh()
    index.refresh()
    expected: dict[str, list[str]] = {}
    for item in sorted([*state.main.messages, *state.main.calls], key=lambda item: item.seq):
        expected.setdefault(phones.phone_number(item), []).append(item.sid)
    assert {phone.number: [item.sid for item in phone.items] for phone in index} == expected
    newest = [phone.latest.seq for phone in index]
    assert newest == sorted(newest, reverse=True)


# ------------------------------------------------------------------ hostile and invalid input


def test_templates_escape_hostile_text(inbox: Inbox, api: Api) -> None:
    emulator = inbox.emulator
    api.send(to=PHONE, body=HOSTILE)
    api.send(to="+447700900003", From="A & B")
    emulator.receive_message(HOSTILE, from_=PHONE, media=[f"https://example.com/{HOSTILE.replace(' ', '/')}"])
    twiml = f"<Response><Say><![CDATA[{HOSTILE}]]></Say><Pause length='60'/></Response>"
    api.post("Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)
    api("GET", f"/{quote(HOSTILE, safe='')}")
    api("GET", "Messages.json", {"To": HOSTILE, HOSTILE: "1"})
    account = api("POST", "/2010-04-01/Accounts.json", {"FriendlyName": HOSTILE[:60]})
    assert account.status_code in (200, 201)
    emulator.fail_next(status=500, path=HOSTILE)
    emulator.clock.advance(10)
    pages = [inbox.page(phone=PHONE), inbox.page(phone=HOSTILE, q=HOSTILE, journal="1", journal_q=HOSTILE)]
    pages += [Page("".join(p["html"] for p in inbox.live(phone=PHONE, q=HOSTILE, journal="1")["parts"].values()))]
    pages += [Page("".join(p["html"] for p in inbox.live(phone=PHONE, journal="1")["parts"].values()))]
    for html in (pages[0], pages[-1]):
        assert html.text.count(HOSTILE) >= 3  # two bodies and a transcript
    for html in pages:
        assert len(html.all("script")) in (0, 1)
        assert all(attributes["src"] == "/_emulator/inbox/icon.svg" for attributes in html.all("img"))
        for tag, attributes in html.elements:
            assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
            assert not str(attributes.get("href", "")).lower().startswith(("javascript:", "data:", "x:"))


QUERY = st.dictionaries(
    st.sampled_from(
        [
            "phone",
            "first",
            "last",
            "more",
            "sid",
            "q",
            "limit",
            "journal",
            "journal_q",
            "journal_limit",
            "versions",
            "x",
        ]
    ),
    st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from(["older", "newer", "1", PHONE])),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERY)
def test_inbox_any_query_returns_200(emulator: Emulator, query: dict[str, str]) -> None:
    if not emulator.messages:
        emulator.receive_message("hi", from_=PHONE)
    for path in ("/", "/_emulator/inbox/live"):
        url = requests.Request("GET", emulator.url + path, params=_encoded(query)).prepare().url
        assert url is not None
        assert requests.get(url, timeout=5).status_code == 200


def _encoded(query: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}


def test_inbox_accepts_invalid_utf8(inbox: Inbox, api: Api) -> None:
    response = requests.post(
        f"{inbox.emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json",
        data=b"To=%2B14155550142&From=%2B15005550006&Body=%ED%A0%80%FF%00x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=api.session.auth,
        timeout=5,
    )
    assert response.status_code in (201, 400)
    inbox.post("messages", {"from": PHONE, "to": inbox.emulator.phone_number, "body": "\ud800 lone"})
    inbox.page(phone=PHONE)
    assert inbox.conversation().bubbles


# ------------------------------------------------------------------ faults, quirks, clock, journal


@pytest.mark.parametrize("fault", choices.FAULTS.values(), ids=str)
@pytest.mark.parametrize("request_filter", choices.REQUEST_FILTERS.values(), ids=str)
def test_offered_faults_are_accepted_by_control_api(
    inbox: Inbox, fault: dict[str, Any], request_filter: dict[str, Any]
) -> None:
    Fault(**fault, **request_filter)
    assert inbox.post("faults", {**fault, **request_filter, "n": 3}).status_code == 200
    (active,) = inbox.emulator.state.faults.pending
    html = inbox.part("faults")
    assert active.name in html.words
    assert "the next 3" in html.words
    assert html.all("button", **{"data-action": "clear-faults"})


def test_faults_part_without_faults_has_no_clear_button(inbox: Inbox) -> None:
    assert not inbox.part("faults").all("button")


def test_quirks_part_shows_current_values(inbox: Inbox) -> None:
    quirks = inbox.emulator.quirks
    quirks.set(latency=0.25, unsent="last", trial=True, concurrency=7)
    html = inbox.part("quirks")
    fields = {str(attributes["name"]): attributes for tag, attributes in html.elements if tag in ("input", "select")}
    assert set(fields) == set(quirks.__slots__)
    assert fields["latency"]["value"] == "0.25"
    assert fields["concurrency"]["value"] == "7"
    assert fields["page_token_life"]["value"] == ""
    assert "checked" in fields["trial"]
    assert quirks.unsent in html.words


def test_offered_quirk_values_are_accepted(inbox: Inbox) -> None:
    for name, (_, values) in choices.QUIRKS.items():
        for value in values:
            inbox.emulator.quirks.set(**{name: value})


def test_clock_part_offers_resume_or_freeze(inbox: Inbox) -> None:
    html = inbox.part("clock")
    assert html.all("button", **{"data-action": "resume"})  # the clock is frozen in these tests
    inbox.emulator.clock.resume()
    assert inbox.part("clock").all("button", **{"data-action": "freeze"})


def test_journal_part_filters_requests(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE, body="needle one")
    api.send(to="+14155550001", body="haystack")
    api("POST", "Messages.json", {"To": "+15005559204", "From": inbox.emulator.phone_number, "Body": "x"})
    inbox.emulator.fail_next(status=503)
    api("GET", "Calls.json")

    def count(text: str) -> int:
        return len(inbox.part("journal", journal="1", journal_q=text).all("details"))

    assert (count(""), count("NEEDLE"), count("21610"), count("503"), count("messages.json"), count("nowhere")) == (
        4, 1, 1, 1, 3, 0,
    )  # fmt: skip
    assert "journal" not in inbox.live()["parts"]  # not requested while the journal is closed
    assert len(inbox.part("journal", journal="1", journal_limit="2").all("details")) == 2
    assert "503" in inbox.part("journal", journal="1", journal_limit="1").words  # newest first


@pytest.mark.parametrize("number", [*MESSAGE_BEHAVIORS, *MESSAGE_REJECTIONS, *CALL_BEHAVIORS, *CALL_REJECTIONS])
def test_known_behavior_describes_test_numbers(number: str) -> None:
    assert phones.known_behavior(number)
    assert phones.known_behavior("+14155550100") is None

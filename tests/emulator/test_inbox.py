"""The emulator's page, as its browser asks for it; ``tests/browser`` looks at it in a real one."""

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
from airflow_provider_twilio.emulator import Emulator, magic
from airflow_provider_twilio.emulator.faults import Fault
from airflow_provider_twilio.emulator.inbox import page, phones
from tests.emulator.conftest import Api

PHONE = "+14155550142"
HOSTILE = "<img src=x onerror=alert(1)>'\"</script><script>alert(2)</script>{{ 7*7 }}"


class Page(HTMLParser):
    """Read a page or a part of one: its elements, and the text without them."""

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
        return [has for name, has in self.elements if name == tag and attrs.items() <= has.items()]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def bubbles(self) -> list[str]:
        return [str(has["id"]) for has in self.all("article")]


class Inbox:
    """Ask as the page's script does."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def page(self, **query: str) -> Page:
        answer = requests.get(self.emulator.url, params=query, timeout=10)
        assert answer.status_code == 200
        return Page(answer.text)

    def live(self, **query: Any) -> dict[str, Any]:
        answer = requests.get(self.emulator.url + "/_emulator/inbox/live", params=query, timeout=10)
        assert answer.status_code == 200, answer.text
        result = answer.json()
        assert isinstance(result, dict)
        return result

    def part(self, name: str, **query: Any) -> Page:
        return Page(self.live(**query)["parts"][name]["html"])

    def thread(self, phone: str = PHONE, **query: Any) -> Page:
        return self.part("thread", phone=phone, **query)

    def do(self, name: str, value: Any, **headers: str) -> requests.Response:
        return requests.post(f"{self.emulator.url}/_emulator/{name}", json=value, headers=headers, timeout=10)


@pytest.fixture
def inbox(emulator: Emulator) -> Inbox:
    return Inbox(emulator)


# ------------------------------------------------------------------ the page


def test_all_that_the_page_loads_is_here(inbox: Inbox) -> None:
    html = inbox.page()
    loaded = [has["src"] for has in html.all("script") + html.all("img")] + [has["href"] for has in html.all("link")]
    assert len(loaded) == 4
    for address in loaded:
        assert address is not None
        answer = requests.get(inbox.emulator.url + address, timeout=5)
        assert answer.status_code == 200
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_nothing_is_inline(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    html = inbox.page(phone=PHONE)
    for tag, has in html.elements:
        assert not [name for name in has if name.startswith("on") or name == "style"], (tag, has)
    assert all("src" in has for has in html.all("script"))
    assert not html.all("style")


def test_the_browser_is_told_to_load_nothing_else(emulator: Emulator) -> None:
    for path in ("/", "/_emulator/inbox/script.js", "/_emulator/inbox/live", "/_emulator/inbox/nothing"):
        headers = requests.get(emulator.url + path, timeout=5).headers
        rules = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["frame-ancestors"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_shows_the_connection_to_use(inbox: Inbox) -> None:
    assert inbox.emulator.connection_uri in inbox.page().text


def test_looking_leaves_no_trace_in_the_journal(inbox: Inbox) -> None:
    inbox.page()
    inbox.live()
    assert len(inbox.emulator.journal) == 0


# ------------------------------------------------------------------ who may ask


SITES = [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
A_VISIT = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("headers", SITES, ids=str)
def test_another_site_gets_nothing_and_changes_nothing(inbox: Inbox, api: Api, headers: dict[str, str]) -> None:
    call = talking(api)
    for path in ("/", "/_emulator/inbox/live", "/_emulator/inbox/script.js"):
        assert requests.get(inbox.emulator.url + path, headers=headers, timeout=5).status_code == 403
    # A form's content types need no leave of a browser; neither does a request without a body.
    assert inbox.do("inbox/hang-up", {"sid": call}, **headers).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        url = f"{inbox.emulator.url}/_emulator/inbox/hang-up"
        assert requests.post(url, data="{}", headers={"Content-Type": kind} | headers, timeout=5).status_code == 403
    assert inbox.do("messages", {"from": PHONE, "to": inbox.emulator.phone_number}, **headers).status_code == 403
    assert inbox.emulator.messages == []
    assert [c["status"] for c in inbox.emulator.calls] == ["in-progress"]


def test_a_link_on_another_site_leads_to_the_page(emulator: Emulator) -> None:
    """Airflow's web UI is another site: its link to a message is a visit, which nobody but the visitor can read."""
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site} | A_VISIT
        assert requests.get(emulator.url, headers=headers, timeout=5).status_code == 200
        framed = headers | {"Sec-Fetch-Dest": "iframe"}
        assert requests.get(emulator.url, headers=framed, timeout=5).status_code == 403
        assert requests.get(emulator.url, headers=headers | {"Host": "evil.example"}, timeout=5).status_code == 403
        assert requests.post(emulator.url, headers=headers, timeout=5).status_code == 403
        live = emulator.url + "/_emulator/inbox/live"
        assert requests.get(live, headers=headers, timeout=5).status_code == 403


def test_only_known_ways_in(emulator: Emulator) -> None:
    inbox = emulator.url + "/_emulator/inbox/"
    assert requests.get(inbox + "page.py", timeout=5).status_code == 404
    assert requests.get(inbox + "../inbox/page.py", timeout=5).status_code == 404
    assert requests.get(inbox + "%2e%2e/page.py", timeout=5).status_code == 404
    assert requests.delete(inbox + "live", timeout=5).status_code == 405
    assert requests.get(inbox + "hang-up", timeout=5).status_code == 405
    assert requests.post(inbox + "hang-up", data="{}", timeout=5).status_code == 415


# ------------------------------------------------------------------ threads


def talking(api: Api, to: str = PHONE) -> str:
    """Place a call and let it be answered."""
    twiml = "<Response><Say>Good morning</Say><Pause length='60'/></Response>"
    sid = api.post("Calls.json", From=api.emulator.phone_number, To=to, Twiml=twiml)["sid"]
    api.emulator.clock.advance(10)
    return str(sid)


def test_a_status_moves_and_only_what_changed_is_sent(inbox: Inbox, api: Api) -> None:
    sid = api.send(to=PHONE, body="Hello there")["sid"]
    versions: dict[str, str] = {}
    seen = []
    for _ in range(4):
        news = inbox.live(phone=PHONE, v=",".join(f"{name}:{version}" for name, version in versions.items()))
        versions |= {name: part["v"] for name, part in news["parts"].items()}
        assert set(news["parts"]) >= {"thread", "phones"}
        thread = Page(news["parts"]["thread"]["html"])
        assert thread.bubbles == [sid]
        seen.append(str(thread.all("article")[0]["aria-label"]).rpartition(" ")[2])
        again = inbox.live(phone=PHONE, v=",".join(f"{name}:{version}" for name, version in versions.items()))
        assert again["parts"] == {}  # the clock stands still, and so does everything
        inbox.emulator.clock.advance(0.7)
    assert seen == ["queued", "sending", "sent", "delivered"]


@pytest.mark.parametrize("number", [to for to, delivery in magic.DELIVERIES.items() if delivery.error])
def test_a_failure_shows_its_code_and_what_it_means(inbox: Inbox, api: Api, number: str) -> None:
    api.send(to=number)
    inbox.emulator.clock.advance(60)
    error = magic.DELIVERIES[number].error
    assert error is not None
    thread = inbox.thread(number)
    assert "bad" in str(thread.all("article")[0]["class"])
    assert str(error) in thread.words
    assert codes.MEANINGS[error][1:] in thread.words
    assert thread.all("a", href=codes.page(error))
    assert inbox.part("phones").all("span", **{"class": "failed"})
    assert str(error) in inbox.part("head", phone=number).words


def test_a_delivered_message_shows_no_failure(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    inbox.emulator.clock.advance(60)
    assert "done" in str(inbox.thread().all("article")[0]["class"])
    assert not inbox.part("phones").all("span", **{"class": "failed"})


def test_a_call_shows_what_is_heard_and_can_be_hung_up(inbox: Inbox, api: Api) -> None:
    twiml = "<Response><Say>Good morning</Say><Pause length='60'/></Response>"
    sid = api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    assert "Good morning" not in inbox.thread().words  # it is ringing
    assert not inbox.thread().all("button")
    assert inbox.do("inbox/hang-up", {"sid": sid}).status_code == 409
    inbox.emulator.clock.advance(12)
    thread = inbox.thread()
    assert "Good morning" in thread.words
    assert "in-progress" in thread.words
    assert thread.all("button", **{"data-do": "hang-up", "data-sid": sid})
    assert inbox.do("inbox/hang-up", {"sid": sid}).json()["status"] == "completed"
    assert not inbox.thread().all("button")
    call = api.get(f"Calls/{sid}.json")
    assert (call["status"], call["duration"]) == ("completed", "10")
    assert inbox.do("inbox/hang-up", {"sid": sid}).status_code == 409
    assert inbox.do("inbox/hang-up", {"sid": "CA" + "0" * 32}).status_code == 404
    assert inbox.do("inbox/hang-up", {"sid": ["CA"]}).status_code == 404


def test_keys_are_offered_while_a_gather_listens(inbox: Inbox, api: Api) -> None:
    twiml = (
        "<Response><Gather numDigits='2' timeout='10'><Say>Press two keys</Say></Gather>"
        "<Say>You were too slow</Say><Pause length='60'/></Response>"
    )
    sid = api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    offered = {"data-do": "press", "data-sid": sid}
    assert not inbox.thread().all("button", **offered)  # it is ringing
    inbox.emulator.clock.advance(4)
    keys = [has["data-key-pressed"] for has in inbox.thread().all("button", **offered)]
    assert "".join(map(str, keys)) == "123456789*0#"
    assert "too slow" not in inbox.thread().words  # what is still to be said is not shown
    assert inbox.do(f"calls/{sid}/digits", {"digits": "1"}).status_code == 200
    assert inbox.thread().all("button", **offered)
    assert inbox.do(f"calls/{sid}/digits", {"digits": "2"}).status_code == 200
    assert not inbox.thread().all("button", **offered)
    assert "⌨ 12" in inbox.thread().words


def test_a_call_to_come_is_not_shown_before_it_begins(inbox: Inbox, api: Api) -> None:
    twiml = "<Response><Pause length='30'/><Dial>+14155550177</Dial></Response>"
    api.post("Calls.json", From=inbox.emulator.phone_number, To=PHONE, Twiml=twiml)

    def listed() -> list[str | None]:
        return [has["data-phone"] for has in inbox.part("phones").all("a")]

    inbox.emulator.clock.advance(10)
    assert listed() == [PHONE]
    inbox.emulator.receive_message("in between", from_="+14155550177")
    assert listed() == ["+14155550177", PHONE]
    inbox.emulator.clock.advance(30)
    assert len(inbox.thread("+14155550177").bubbles) == 2


def test_a_call_that_nobody_took_says_why(inbox: Inbox, api: Api) -> None:
    api.post("Calls.json", From=inbox.emulator.phone_number, To="+15005559101", Twiml="<Response/>")
    inbox.emulator.clock.advance(60)
    thread = inbox.thread("+15005559101")
    assert "busy" in thread.words
    assert "The line was busy" in thread.words


def test_one_phone_whatever_it_is_reached_by(inbox: Inbox, api: Api) -> None:
    number = inbox.emulator.phone_number
    sids = [
        api.send(to=PHONE)["sid"],
        api.send(to=f"whatsapp:{PHONE}", From=f"whatsapp:{number}")["sid"],
        inbox.emulator.receive_message("hi", from_=PHONE),
        inbox.emulator.receive_call(from_=PHONE),
        api.post("Calls.json", From=number, To=PHONE, Twiml="<Response/>")["sid"],
    ]
    assert inbox.thread().bubbles == sids
    assert [has["data-phone"] for has in inbox.part("phones").all("a")] == [PHONE]
    assert [has.get("value") for has in inbox.part("ways", phone=PHONE).all("option")] == [
        f"{number} {PHONE}",
        f"whatsapp:{number} whatsapp:{PHONE}",
    ]


def test_phones_stand_by_their_newest_item_and_can_be_searched(inbox: Inbox, api: Api) -> None:
    for to in ("+14155550001", "+14155550002", "+447700900003", "+14155550001"):
        api.send(to=to)

    def listed(**query: str) -> list[str | None]:
        return [has["data-phone"] for has in inbox.part("phones", **query).all("a")]

    assert listed() == ["+14155550001", "+447700900003", "+14155550002"]
    assert listed(q="+1 (415) 555") == ["+14155550001", "+14155550002"]
    assert listed(q="999") == []
    assert listed(many="1") == ["+14155550001"]


def test_a_name_cannot_be_answered(inbox: Inbox, api: Api) -> None:
    api.send(to="+447700900003", From="ACME")
    ways = inbox.part("ways", phone="+447700900003")
    assert [has["value"] for has in ways.all("option")] == ["+15005550006 +447700900003"]  # but by our first number


def test_an_answer_comes_in_and_stop_is_shown(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE)
    to, sender = str(inbox.part("ways", phone=PHONE).all("option")[0]["value"]).split()
    assert inbox.do("messages", {"from": sender, "to": to, "body": "STOP"}).status_code == 200
    (inbound,) = [m for m in api.get("Messages.json", From=PHONE)["messages"] if m["direction"] == "inbound"]
    assert (inbound["body"], inbound["to"]) == ("STOP", inbox.emulator.phone_number)
    thread = inbox.thread()
    assert "mine" in str(thread.all("article", id=inbound["sid"])[0]["class"])
    assert "Said STOP" in inbox.part("head", phone=PHONE).words


def test_media_lead_to_their_address(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE, MediaUrl="https://example.com/a/chart.png?size=2")
    (link,) = inbox.thread().all("a", **{"class": "media"})
    assert link["href"] == "https://example.com/a/chart.png?size=2"
    assert link["rel"] == "noopener noreferrer"
    assert "chart.png" in inbox.thread().words
    assert not inbox.thread().all("img")


def test_a_scheduled_message_says_when(inbox: Inbox, api: Api) -> None:
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
    assert f"To be sent {due.astimezone():%a} {due.astimezone().day}" in inbox.thread().words


# ------------------------------------------------------------------ long threads, many phones


@pytest.fixture
def long(emulator: Emulator, api: Api) -> list[str]:
    """A thread of 300 messages."""
    return [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(300)]


def test_a_long_thread_opens_at_its_end_and_goes_back(inbox: Inbox, long: list[str]) -> None:
    news = inbox.live(phone=PHONE)
    assert Page(news["parts"]["thread"]["html"]).bubbles == long[-60:]
    assert news["last"] is None
    news = inbox.live(phone=PHONE, first=news["first"], last="", more="older")
    assert Page(news["parts"]["thread"]["html"]).bubbles == long[-180:]
    new = inbox.emulator.receive_message("one more", from_=PHONE)
    news = inbox.live(phone=PHONE, first=news["first"], last="")
    assert Page(news["parts"]["thread"]["html"]).bubbles == [*long[-180:], new]
    news = inbox.live(phone=PHONE, first=news["first"], more="older")
    news = inbox.live(phone=PHONE, first=news["first"], more="older")
    thread = Page(news["parts"]["thread"]["html"])
    assert thread.bubbles == [*long, new]
    assert not thread.all("button", **{"data-do": "older"})


def test_a_sid_opens_its_place_in_the_thread(inbox: Inbox, long: list[str]) -> None:
    news = inbox.live(sid=long[100])
    assert (news["phone"], news["found"], news["missing"]) == (PHONE, long[100], None)
    thread = Page(news["parts"]["thread"]["html"])
    assert thread.bubbles == long[70:130]
    assert thread.all("button", **{"data-do": "older"})
    assert thread.all("button", **{"data-do": "newer"})
    inbox.emulator.receive_message("one more", from_=PHONE)
    stays = inbox.live(phone=PHONE, first=news["first"], last=news["last"])
    assert Page(stays["parts"]["thread"]["html"]).bubbles == long[70:130]
    on = inbox.live(phone=PHONE, first=news["first"], last=news["last"], more="newer")
    assert Page(on["parts"]["thread"]["html"]).bubbles == long[70:250]


def test_the_sid_of_a_call_opens_its_thread(inbox: Inbox, api: Api) -> None:
    sid = talking(api)
    assert inbox.live(sid=sid)["phone"] == PHONE


def test_an_unknown_sid_is_said_to_be_missing(inbox: Inbox) -> None:
    sid = "SM" + "0" * 32
    news = inbox.live(sid=sid, phone=PHONE)
    assert (news["found"], news["missing"]) == (None, sid)


def test_deleted_messages_and_a_reset_are_seen(inbox: Inbox, api: Api) -> None:
    sids = [api.send(to=PHONE)["sid"] for _ in range(3)]
    other = api.send(to="+14155550001")["sid"]
    before = inbox.live(phone=PHONE)["epoch"]
    inbox.emulator.clock.advance(10)
    assert api("DELETE", f"Messages/{sids[1]}.json").status_code == 204
    assert inbox.thread().bubbles == [sids[0], sids[2]]
    assert api("DELETE", f"Messages/{other}.json").status_code == 204
    assert [has["data-phone"] for has in inbox.part("phones").all("a")] == [PHONE]
    new = api.send(to=PHONE)["sid"]
    assert inbox.thread().bubbles == [sids[0], sids[2], new]
    assert inbox.live(phone=PHONE)["epoch"] == before
    inbox.emulator.reset()
    news = inbox.live(phone=PHONE)
    assert news["epoch"] != before
    assert Page(news["parts"]["thread"]["html"]).bubbles == []


def test_subaccounts_are_shown_and_named(inbox: Inbox, api: Api) -> None:
    account = api("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "North"}).json()
    number = api("POST", "IncomingPhoneNumbers.json", {"AreaCode": "415"}).json()
    moved = api("POST", f"IncomingPhoneNumbers/{number['sid']}.json", {"AccountSid": account["sid"]})
    assert moved.status_code == 200, moved.text
    inbox.emulator.receive_message("hi", from_=PHONE, to=number["phone_number"])
    assert "North" in inbox.thread().words


def test_ten_thousand_messages_are_no_burden(inbox: Inbox, emulator: Emulator) -> None:
    def quickest_look() -> float:
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            inbox.live(phone="+14155550000")
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    looks = []
    for n in range(10_000):
        emulator.receive_message(f"text {n}", from_=f"+1415{5550000 + n % 2500:07}")
        if n in (999, 9_999):
            looks.append(quickest_look())
    html = inbox.page(phone="+14155550000")
    assert len(html.all("a", **{"class": "phone"})) == page.PHONES
    assert len(html.bubbles) == 4
    assert looks[1] < 5 * looks[0]  # for ten times as many


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["in", "out", "call", "delete", "look", "reset"]), st.integers(0, 3)), max_size=25
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_threads_hold_what_the_accounts_hold(emulator: Emulator, operations: list[tuple[str, int]]) -> None:
    emulator.reset()
    world = emulator.world
    index = phones.Phones(world)
    for what, n in operations:
        number = f"+1415555010{n}"
        if what == "in":
            emulator.receive_message("x", from_=number)
        elif what == "call":
            emulator.receive_call(from_=number)
        elif what == "out":
            emulator.receive_message("x", from_=f"whatsapp:{number}", to=f"whatsapp:{emulator.phone_number}")
        elif what == "delete" and len(world.main.messages):
            world.main.messages.remove(list(world.main.messages)[n % len(world.main.messages)])
        elif what == "reset":
            emulator.reset()
        elif what == "look":
            index.refresh()
    index.refresh()
    expected: dict[str, list[str]] = {}
    for item in sorted([*world.main.messages, *world.main.calls], key=lambda item: item.seq):
        expected.setdefault(phones.phone_of(item), []).append(item.sid)
    assert {phone.number: [item.sid for item in phone.items] for phone in index} == expected
    newest = [phone.latest.seq for phone in index]
    assert newest == sorted(newest, reverse=True)


# ------------------------------------------------------------------ bad input


def test_hostile_text_stays_text_everywhere(inbox: Inbox, api: Api) -> None:
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
    pages = [inbox.page(phone=PHONE), inbox.page(phone=HOSTILE, q=HOSTILE, journal="1", jq=HOSTILE)]
    pages += [Page("".join(p["html"] for p in inbox.live(phone=PHONE, q=HOSTILE, journal="1")["parts"].values()))]
    pages += [Page("".join(p["html"] for p in inbox.live(phone=PHONE, journal="1")["parts"].values()))]
    for html in (pages[0], pages[-1]):
        assert html.text.count(HOSTILE) >= 3  # two bodies and a transcript, word for word
    for html in pages:
        assert len(html.all("script")) in (0, 1)
        assert all(has["src"] == "/_emulator/inbox/icon.svg" for has in html.all("img"))
        for tag, has in html.elements:
            assert not [name for name in has if name.startswith("on")], (tag, has)
            assert not str(has.get("href", "")).lower().startswith(("javascript:", "data:", "x:"))


QUERY = st.dictionaries(
    st.sampled_from(["phone", "first", "last", "more", "sid", "q", "many", "journal", "jq", "jmany", "v", "x"]),
    st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from(["older", "newer", "1", PHONE])),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERY)
def test_any_question_gets_an_answer(emulator: Emulator, query: dict[str, str]) -> None:
    if not emulator.messages:
        emulator.receive_message("hi", from_=PHONE)
    for path in ("/", "/_emulator/inbox/live"):
        url = requests.Request("GET", emulator.url + path, params=_encoded(query)).prepare().url
        assert url is not None
        assert requests.get(url, timeout=5).status_code == 200


def _encoded(query: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}


def test_bytes_that_are_no_text(inbox: Inbox, api: Api) -> None:
    answer = requests.post(
        f"{inbox.emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json",
        data=b"To=%2B14155550142&From=%2B15005550006&Body=%ED%A0%80%FF%00x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=api.session.auth,
        timeout=5,
    )
    assert answer.status_code in (201, 400)
    inbox.do("messages", {"from": PHONE, "to": inbox.emulator.phone_number, "body": "\ud800 lone"})
    inbox.page(phone=PHONE)
    assert inbox.thread().bubbles


# ------------------------------------------------------------------ faults, switches, clock, journal


@pytest.mark.parametrize("fault", page.FAULTS.values(), ids=str)
@pytest.mark.parametrize("kind", page.REQUESTS_OF.values(), ids=str)
def test_every_fault_on_offer_can_be_armed(inbox: Inbox, fault: dict[str, Any], kind: dict[str, Any]) -> None:
    Fault(**fault, **kind)
    assert inbox.do("faults", {**fault, **kind, "n": 3}).status_code == 200
    (armed,) = inbox.emulator.world.faults.waiting
    html = inbox.part("faults")
    assert armed.name in html.words
    assert "the next 3" in html.words
    assert html.all("button", **{"data-do": "disarm"})


def test_no_fault_armed_offers_none_to_disarm(inbox: Inbox) -> None:
    assert not inbox.part("faults").all("button")


def test_every_switch_is_there_as_it_stands(inbox: Inbox) -> None:
    quirks = inbox.emulator.quirks
    quirks.set(latency=0.25, unsent="last", trial=True, concurrency=7)
    html = inbox.part("switches")
    fields = {str(has["name"]): has for tag, has in html.elements if tag in ("input", "select")}
    assert set(fields) == set(quirks.__slots__)
    assert fields["latency"]["value"] == "0.25"
    assert fields["concurrency"]["value"] == "7"
    assert fields["page_token_life"]["value"] == ""
    assert "checked" in fields["trial"]
    assert quirks.unsent in html.words


def test_the_words_of_a_switch_are_those_it_takes(inbox: Inbox) -> None:
    for name, (_, choices) in page.SWITCHES.items():
        for choice in choices:
            inbox.emulator.quirks.set(**{name: choice})


def test_the_clock_is_shown(inbox: Inbox) -> None:
    html = inbox.part("clock")
    assert html.all("button", **{"data-do": "run"})  # it is stopped in these tests
    inbox.emulator.clock.resume()
    assert inbox.part("clock").all("button", **{"data-do": "stop"})


def test_the_journal_can_be_searched(inbox: Inbox, api: Api) -> None:
    api.send(to=PHONE, body="needle one")
    api.send(to="+14155550001", body="haystack")
    api("POST", "Messages.json", {"To": "+15005559204", "From": inbox.emulator.phone_number, "Body": "x"})
    inbox.emulator.fail_next(status=503)
    api("GET", "Calls.json")

    def found(text: str) -> int:
        return len(inbox.part("journal", journal="1", jq=text).all("details"))

    assert (found(""), found("NEEDLE"), found("21610"), found("503"), found("messages.json"), found("nowhere")) == (
        4, 1, 1, 1, 3, 0,
    )  # fmt: skip
    assert "journal" not in inbox.live()["parts"]  # it is not asked for while it isn't open
    assert len(inbox.part("journal", journal="1", jmany="2").all("details")) == 2
    assert "503" in inbox.part("journal", journal="1", jmany="1").words  # the newest first


@pytest.mark.parametrize("number", [*magic.DELIVERIES, *magic.REFUSALS, *magic.RINGS, *magic.CALL_REFUSALS])
def test_a_number_known_for_something_says_so(number: str) -> None:
    assert phones.habit(number)
    assert phones.habit("+14155550100") is None

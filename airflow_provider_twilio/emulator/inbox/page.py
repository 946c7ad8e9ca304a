"""The page itself: what a browser asks for, written by the templates beside this file.

The browser gets the whole page once, and asks for its parts from then on: only those that have changed are sent. What
people do on it goes through the control API, like anyone's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit
from zlib import crc32

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.emulator import calls
from airflow_provider_twilio.emulator.calls import CallRecord
from airflow_provider_twilio.emulator.control import Wrong, read_json
from airflow_provider_twilio.emulator.inbox import phones
from airflow_provider_twilio.emulator.journal import Entry
from airflow_provider_twilio.emulator.messages import Message
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.wire import Answer

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_twilio.emulator.world import World

FOLDER = Path(__file__).parent
PREFIX = "/_emulator/inbox/"
PHONES, ITEMS, MORE, REQUESTS = 60, 60, 120, 60
"""How many are shown at first, and how many more at a time."""
SEARCHED = 20_000
"""A search goes through so many of the latest requests."""

FILES = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

FAULTS: dict[str, dict[str, Any]] = {
    "429, with Retry-After: 2": {"status": 429, "retry_after": 2},
    "429, without Retry-After": {"status": 429},
    "500 Internal Server Error": {"status": 500},
    "503 Service Unavailable": {"status": 503},
    "502, an edge server's HTML": {"html": True},
    "200, with an empty body": {"empty": True},
    "401 Authenticate": {"status": 401},
    "Connection cut, nothing done": {"drop": True},
    "Done, then connection cut": {"accept_then_drop": True},
    "Done, then 503": {"accept_then_status": 503},
    "Done, answered after 30 s": {"accept_then_stall": 30},
    "Done, answer cut in half": {"cut": True},
}
"""What can be chosen to go wrong."""
REQUESTS_OF: dict[str, dict[str, Any]] = {
    "of any kind": {},
    "sending a message": {"method": "POST", "path": "/Messages.json"},
    "placing a call": {"method": "POST", "path": "/Calls.json"},
    "reading": {"method": "GET"},
}
"""Which requests it can happen to."""
SWITCHES: dict[str, tuple[str, tuple[str, ...]]] = {
    "latency": ("Every answer takes (s)", ()),
    "jitter": ("and up to so much more (s)", ()),
    "concurrency": ("Requests at once before 429", ()),
    "list_lag": ("New records missing from lists (s)", ()),
    "fetch_lag": ("Fresh SIDs answer 404 (s)", ()),
    "status_lag": ("Statuses are old by (s)", ()),
    "price_lag": ("Prices come later by (s)", ()),
    "unsent": ("Unsent messages in lists", ("date_created", "first", "last")),
    "page_token_life": ("PageTokens expire after (s)", ()),
    "callbacks": ("Webhooks are called", ("local", "any", "none")),
    "callback_copies": ("each so many times", ()),
    "callback_order": ("in the order", ("kept", "reversed")),
    "trial": ("Trial account", ()),
    "whatsapp_window": ("WhatsApp's 24-hour window", ()),
}
"""The switches' labels, and the words to choose from where there are some."""
_TONES = {
    "accepted": "wait", "scheduled": "wait", "queued": "wait", "sending": "wait", "receiving": "wait",
    "ringing": "wait", "sent": "sent", "delivered": "done", "partially_delivered": "done", "read": "read",
    "received": "in", "in-progress": "live", "completed": "done", "canceled": "off",
}  # fmt: skip
_ENDS = {
    "busy": "The line was busy.",
    "no-answer": "Nobody answered.",
    "failed": "The call could not be put through.",
    "canceled": "It was called off before anyone answered.",
}


@dataclass(slots=True)
class Bubble:
    """Hold a message or call as it is shown."""

    sid: str
    call: bool
    mine: bool
    """Whether it came from the phone."""
    who: str
    """The other end: a number of ours, a name, or a channel's address."""
    channel: str
    account: str
    at: float
    status: str
    tone: str
    steps: list[tuple[str, str]]
    text: str = ""
    media: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, content type and address."""
    code: int | None = None
    meaning: str = ""
    more: str = ""
    due: float | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    transcript: tuple[str, ...] = ()
    keys: bool = False
    """Whether keys are listened for now."""
    hang_up: bool = False
    length: str = ""


@dataclass(slots=True)
class View:
    """Say what a browser looks at."""

    phone: str = ""
    first: int | None = None
    last: int | None = None
    """Record numbers between which the thread is shown; no last one for the thread's live end."""
    search: str = ""
    many: int = PHONES
    journal: bool = False
    journal_search: str = ""
    journal_many: int = REQUESTS
    found: str | None = None
    missing: str | None = None


class Inbox:
    """Answer what the page's browser asks for. Whoever asks holds the world's lock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.phones = phones.Phones(world)
        self._searched: tuple[tuple[int, str, int, int], list[Entry]] | None = None

    def serves(self, path: str) -> bool:
        return path == "/" or path.startswith(PREFIX)

    def answer(self, method: str, path: str, query: bytes, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        try:
            if path == PREFIX + "hang-up":
                if method != "POST":
                    raise Wrong("POST only", 405)
                return self._json(self.hang_up(read_json(body, headers)))
            if method not in ("GET", "HEAD"):
                raise Wrong("GET only", 405)
            name = path.removeprefix(PREFIX)
            if path == "/":
                return Answer(
                    self.page(Params.parse(query), headers).encode("utf-8", "replace"),
                    200,
                    HEADERS,
                    "text/html; charset=utf-8",
                )
            if name in FILES:
                return Answer(_file(name), 200, HEADERS, FILES[name])
            if name == "live":
                return self._json(self.live(Params.parse(query)))
            raise Wrong("there is nothing here", 404)
        except Wrong as wrong:
            return Answer({"error": str(wrong)}, wrong.status, HEADERS)

    @staticmethod
    def _json(value: Any) -> Answer:
        return Answer(value, 200, HEADERS)

    # -------------------------------------------------------------- the page and its parts

    def page(self, query: Params, headers: dict[bytes, bytes]) -> str:
        """Write the whole page."""
        self.phones.refresh()
        view = self.view(query)
        host = headers.get(b"host", b"").decode("latin-1")
        main = self.world.main
        return _render(
            "page.html",
            parts={name: (_version(html), html) for name, html in self.parts(view)},
            view=view,
            epoch=self.phones.epoch,
            connection=f"twilio://{main.sid}:{main.auth_token}@{host}",
            numbers=[number.phone_number for account in self.world.accounts for number in account.numbers],
            faults=[(label, json.dumps(fault)) for label, fault in FAULTS.items()],
            requests_of=[(label, json.dumps(kind)) for label, kind in REQUESTS_OF.items()],
        )

    def live(self, query: Params) -> dict[str, Any]:
        """Give the parts of the page that are not as the browser has them."""
        self.phones.refresh()
        view = self.view(query)
        had = dict(pair.split(":", 1) for pair in (query.text("v") or "").split(",") if ":" in pair)
        parts = {}
        for name, html in self.parts(view):
            version = _version(html)
            if had.get(name) != version:
                parts[name] = {"v": version, "html": html}
        latest = next(iter(self.phones), None)
        return {
            "epoch": self.phones.epoch,
            "phone": view.phone,
            "first": view.first,
            "last": view.last,
            "found": view.found,
            "missing": view.missing,
            "newest": None if latest is None else {"phone": latest.number, "sid": latest.latest.sid},
            "parts": parts,
        }

    def view(self, query: Params) -> View:
        """Read what the browser wants to see, and settle which part of the thread that is."""
        view = View(
            phone=query.text("phone") or "",
            first=_number(query.text("first")),
            last=_number(query.text("last")),
            search=query.text("q") or "",
            many=min(_number(query.text("many")) or PHONES, 5000),
            journal=query.text("journal") == "1",
            journal_search=query.text("jq") or "",
            journal_many=min(_number(query.text("jmany")) or REQUESTS, 5000),
        )
        sid = query.text("sid")
        if sid is not None:
            item = self.phones.find(sid)
            if item is None:
                view.missing = sid
            else:
                view.found, view.phone = sid, phones.phone_of(item)
        phone = self.phones.get(view.phone)
        if phone is None:
            view.first = view.last = None
            return view
        self._frame(view, phone, query.text("more"))
        return view

    def _frame(self, view: View, phone: phones.Phone, more: str | None) -> None:
        """Settle the first and the last item that are shown."""
        items = phone.items
        if view.found is not None:
            at = phone.index(next(item.seq for item in items if item.sid == view.found))
            start, end = max(at - ITEMS // 2, 0), at + ITEMS // 2
        else:
            end = len(items) if view.last is None else phone.after(view.last)
            start = max(end - ITEMS, 0) if view.first is None else phone.index(view.first)
        if more == "older":
            start = max(start - MORE, 0)
        elif more == "newer":
            end += MORE
        start = min(start, len(items) - 1)
        view.first = items[start].seq
        view.last = items[max(end, start + 1) - 1].seq if end < len(items) else None

    def parts(self, view: View) -> Iterator[tuple[str, str]]:
        """Write the parts of the page."""
        now = self.world.clock.now()
        phone = self.phones.get(view.phone)
        yield "phones", self._list(view, now)
        yield "head", self._head(view, phone)
        yield "thread", self._thread(view, phone, now)
        yield "ways", _render("ways.html", view=view, ways=self.phones.ways(phone, view.phone))
        yield "faults", _render("faults.html", faults=self.world.faults.waiting)
        yield "switches", _render("switches.html", switches=list(self._switches()))
        yield "clock", _render("clock.html", now=now, frozen=self.world.clock.frozen, speed=self.world.clock.speed)
        if view.journal:
            yield "journal", self._journal(view)

    def _list(self, view: View, now: float) -> str:
        wanted = "".join(character for character in view.search if character not in " -()").lower()
        matching = (phone for phone in self.phones if wanted in phone.number.lower())
        shown = list(islice(matching, view.many + 1))
        rows = [(phone, self.bubble(phone.latest, now), phone.failures(now)) for phone in shown[: view.many]]
        return _render("phones.html", view=view, rows=rows, more=len(shown) > view.many, total=len(self.phones))

    def _head(self, view: View, phone: phones.Phone | None) -> str:
        return _render(
            "head.html",
            view=view,
            habit=phones.habit(view.phone),
            opted_out=self.phones.opted_out(view.phone) if phone else [],
            callable=view.phone.startswith("+") and bool(self.phones.ways(phone, view.phone)),
            count=len(phone.items) if phone else 0,
        )

    def _thread(self, view: View, phone: phones.Phone | None, now: float) -> str:
        if phone is None or view.first is None:
            return _render("thread.html", view=view, days=[], older=0, newer=0)
        start = phone.index(view.first)
        end = len(phone.items) if view.last is None else phone.after(view.last)
        days: list[tuple[str, list[Bubble]]] = []
        for item in phone.items[start:end]:
            day = _day(item.created, now)
            if not days or days[-1][0] != day:
                days.append((day, []))
            days[-1][1].append(self.bubble(item, now))
        return _render("thread.html", view=view, days=days, older=start, newer=len(phone.items) - end)

    def _switches(self) -> Iterator[tuple[str, str, Any, tuple[str, ...]]]:
        quirks = self.world.quirks
        for name in quirks.__slots__:
            label, choices = SWITCHES.get(name, (name.replace("_", " ").capitalize(), ()))
            yield name, label, getattr(quirks, name), choices

    def _journal(self, view: View) -> str:
        entries = self._search(view.journal_search.strip().lower(), view.journal_many + 1)
        more = len(entries) > view.journal_many
        return _render(
            "journal.html", view=view, entries=entries[: view.journal_many], more=more, total=self.world.journal.total
        )

    def _search(self, text: str, many: int) -> list[Entry]:
        """Give the latest requests with a text in what is shown of them, the newest first."""
        journal = self.world.journal
        key = (journal.total, text, many, len(journal))
        if self._searched is None or self._searched[0] != key or any(e.status is None for e in self._searched[1]):
            latest = (journal[index] for index in range(len(journal) - 1, -1, -1))
            if text:
                latest = (entry for entry in islice(latest, SEARCHED) if text in _words(entry))
            self._searched = key, list(islice(latest, many))
        return self._searched[1]

    # -------------------------------------------------------------- one message, one call

    def bubble(self, item: phones.Item, now: float) -> Bubble:
        """Lay out a message or call."""
        status = item.status(now)
        account = self.world.accounts.get(item.account_sid)
        bubble = Bubble(
            sid=item.sid,
            call=isinstance(item, CallRecord),
            mine=item.direction == "inbound",
            who=phones.ours(item),
            channel="",
            account="" if account is None or account is self.world.main else account.friendly_name,
            at=item.created,
            status=status,
            tone="bad" if phones.has_failed(item, now) else _TONES.get(status, "wait"),
            steps=[(step, _time(item.at(n), True)) for n, (_, step) in enumerate(item.steps) if item.at(n) <= now],
            facts=[("SID", item.sid)],
        )
        if isinstance(item, Message):
            _of_message(bubble, item, now)
        else:
            _of_call(bubble, item, now)
        return bubble

    def hang_up(self, body: dict[str, Any]) -> dict[str, Any]:
        """Let the phone's owner end a call."""
        self.phones.refresh()
        sid = body.get("sid")
        record = self.phones.find(sid) if isinstance(sid, str) else None
        if not isinstance(record, CallRecord):
            raise Wrong("there is no such call", 404)
        now = self.world.clock.now()
        account = self.world.accounts.get(record.account_sid)
        if record.status(now) != "in-progress" or account is None:
            raise Wrong("this call is not in progress", 409)
        calls.end(account, record, now, "completed")
        record.touched = now
        self.world.on_change(record)
        return calls.render(record, now)


def _of_message(bubble: Bubble, message: Message, now: float) -> None:
    bubble.text = message.body or ""
    bubble.channel = {"whatsapp": "WhatsApp", "rcs": "RCS"}.get(phones.theirs(message).partition(":")[0], "")
    for media in message.media or ():
        bubble.media.append((_file_name(media.url), media.content_type, media.url))
    bubble.code = message.error_code(now)
    if bubble.code is not None:
        bubble.meaning = codes.MEANINGS.get(bubble.code, "a failure that Twilio explains on its page")
        bubble.more = codes.page(bubble.code)
    if bubble.status == "scheduled":
        bubble.due = message.sent_at()
    ways = "From the phone to" if bubble.mine else "To the phone from"
    bubble.facts += [
        (ways, bubble.who or "a number of the messaging service"),
        ("Segments", str(message.segments)),
        ("Price", f"{message.charged(now):.4f} USD" if message.charged(now) else "not charged yet"),
    ]
    if message.service_sid:
        bubble.facts.append(("Service", message.service_sid))


def _of_call(bubble: Bubble, call: CallRecord, now: float) -> None:
    answered = call.reached("in-progress", now)
    ended = call.ended(now)
    if answered is not None:
        seconds = call.seconds() if ended is not None else int((now - answered) * call.speed)
        bubble.length = f"{seconds // 60}:{seconds % 60:02}"
        bubble.transcript = call.heard(now)
        bubble.keys = bubble.status == "in-progress" and _listens(call, now)
        bubble.hang_up = bubble.status == "in-progress"
        if call.answered_by:
            bubble.facts.append(("Answered by", call.answered_by.replace("_", " ")))
    if bubble.tone == "bad":
        bubble.meaning = _ENDS[bubble.status]
        bubble.facts.append(("SIP", str(call.sip)))
    bubble.facts.append(("From the phone to" if bubble.mine else "To the phone from", bubble.who))


def _listens(call: CallRecord, now: float) -> bool:
    """Tell whether a Gather waits for keys."""
    at = (now - call.start) * call.speed - call.base
    return call.course is not None and any(listen.start <= at < listen.end for listen in call.course.listens)


# ------------------------------------------------------------------ words


def _version(html: str) -> str:
    return blake2b(html.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _words(entry: Entry) -> str:
    said = f"{entry.method} {entry.path} {entry.status} {entry.code or ''} {entry.fault or ''} {entry.sid or ''} "
    return (said + unquote_plus((entry.query + b" " + entry.body).decode("latin-1"))).lower()


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or url


def _local(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC).astimezone()


def _time(when: float, seconds: bool = False) -> str:
    """Tell a time as this machine's clock does; the page is looked at on this machine."""
    return _local(when).strftime("%H:%M:%S" if seconds else "%H:%M")


def _day(when: float, now: float) -> str:
    day, today = _local(when).date(), _local(now).date()
    if day == today:
        return "Today"
    if (today - day).days == 1:
        return "Yesterday"
    return f"{day:%A}, {day.day} {day:%B %Y}" if day.year != today.year else f"{day:%A}, {day.day} {day:%B}"


def _moment(when: float) -> str:
    at = _local(when)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M:%S}"


def _spaced(number: str) -> str:
    """Write a number as people read it."""
    if number.startswith("+1") and len(number) == 12:
        return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"
    return number


def _resource(path: str) -> str:
    """Leave out of a path what is the same in all of them."""
    parts = path.split("/")
    if path.startswith("/2010-04-01/Accounts/") and len(parts) > 4:
        return "/".join(parts[4:])
    return path


def _hue(number: str) -> int:
    return crc32(number.encode("utf-8", "surrogatepass")) % 8


def _initials(number: str) -> str:
    return number[-2:]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "time": _time, "moment": _moment, "spaced": _spaced, "resource": _resource, "hue": _hue, "initials": _initials,
    }  # fmt: skip
    environment.filters.update(filters)
    return environment


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _render(name: str, **values: Any) -> str:
    return str(_template(name).render(**values))


@cache
def _file(name: str) -> bytes:
    return (FOLDER / name).read_bytes()

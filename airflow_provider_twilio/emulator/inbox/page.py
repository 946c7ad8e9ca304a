"""HTTP endpoints of the inbox: the page, its static files, live updates, and hanging up.

A browser loads the whole page once. It then polls ``live``, which returns only the parts of the page that have changed.
All other actions on the page are requests to the control API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

from airflow_provider_twilio.emulator.calling import end_call
from airflow_provider_twilio.emulator.control import ControlError, read_json
from airflow_provider_twilio.emulator.handlers.calls import render_call
from airflow_provider_twilio.emulator.inbox import phones
from airflow_provider_twilio.emulator.inbox.bubbles import Bubble, build_bubble
from airflow_provider_twilio.emulator.inbox.choices import FAULTS, QUIRKS, REQUEST_FILTERS
from airflow_provider_twilio.emulator.inbox.rendering import STATIC_FILES, format_day, render, static_file
from airflow_provider_twilio.emulator.journal import SECRET_PARAMS, Entry
from airflow_provider_twilio.emulator.models.call import Call
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.responses import Response
from airflow_provider_twilio.emulator.state import State

PREFIX = "/_emulator/inbox/"
PAGE_SIZE = 60
"""Number of phones, conversation items and requests that are displayed at first."""
MORE_ITEMS = 120
"""Number of older or newer conversation items that one click adds."""
MAX_DISPLAYED = 5000
"""Maximum number of displayed phones, and of displayed requests."""
MAX_SEARCHED = 20_000
"""Number of latest requests that a search of the journal covers."""

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


@dataclass(slots=True)
class View:
    """The selection and the search terms of one browser."""

    phone: str = ""
    first: int | None = None
    """Sequence number of the oldest displayed item."""
    last: int | None = None
    """Sequence number of the newest displayed item; None while the conversation follows new items."""
    search: str = ""
    limit: int = PAGE_SIZE
    journal: bool = False
    journal_search: str = ""
    journal_limit: int = PAGE_SIZE
    found: str | None = None
    """The SID that the browser asked for, if it exists."""
    missing: str | None = None
    """The SID that the browser asked for, if it does not exist."""


class Inbox:
    """Handler of the inbox's requests. The caller holds the lock of the emulator's state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.phones = phones.Phones(state)
        self._last_search: tuple[tuple[int, str, int, int], list[Entry]] | None = None

    def serves(self, path: str) -> bool:
        return path == "/" or path.startswith(PREFIX)

    def respond(self, method: str, path: str, query: bytes, body: bytes, headers: dict[bytes, bytes]) -> Response:
        try:
            if path == PREFIX + "hang-up":
                if method != "POST":
                    raise ControlError("use POST", 405)
                return self._json(self.hang_up(read_json(body, headers)))
            if method not in ("GET", "HEAD"):
                raise ControlError("use GET", 405)
            name = path.removeprefix(PREFIX)
            if path == "/":
                return Response(
                    self.page(Params.parse(query), headers).encode("utf-8", "replace"),
                    200,
                    HEADERS,
                    "text/html; charset=utf-8",
                )
            if name in STATIC_FILES:
                return Response(static_file(name), 200, HEADERS, STATIC_FILES[name])
            if name == "live":
                return self._json(self.live(Params.parse(query)))
            raise ControlError("not found", 404)
        except ControlError as error:
            return Response({"error": str(error)}, error.status, HEADERS)

    @staticmethod
    def _json(value: Any) -> Response:
        return Response(value, 200, HEADERS)

    # -------------------------------------------------------------- the page and its parts

    def page(self, query: Params, headers: dict[bytes, bytes]) -> str:
        """Return the HTML of the whole page."""
        self.phones.refresh()
        view = self.view(query)
        host = headers.get(b"host", b"").decode("latin-1")
        main = self.state.main
        token = "AUTH_TOKEN" if self.state.is_exposed else main.auth_token
        return render(
            "page.html",
            parts={name: (_version(html), html) for name, html in self.parts(view)},
            view=view,
            epoch=self.phones.epoch,
            is_exposed=self.state.is_exposed,
            connection=f"twilio://{main.sid}:{token}@{host}",
            numbers=[number.phone_number for account in self.state.accounts for number in account.numbers],
            faults=[(label, json.dumps(fault)) for label, fault in FAULTS.items()],
            request_filters=[(label, json.dumps(fields)) for label, fields in REQUEST_FILTERS.items()],
        )

    def live(self, query: Params) -> dict[str, Any]:
        """Return the parts of the page whose version differs from the browser's."""
        self.phones.refresh()
        view = self.view(query)
        browser_versions = dict(pair.split(":", 1) for pair in (query.text("versions") or "").split(",") if ":" in pair)
        parts = {}
        for name, html in self.parts(view):
            version = _version(html)
            if browser_versions.get(name) != version:
                parts[name] = {"version": version, "html": html}
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
        """Parse the browser's selection, and determine the displayed range of the conversation."""
        view = View(
            phone=query.text("phone") or "",
            first=_parse_int(query.text("first")),
            last=_parse_int(query.text("last")),
            search=query.text("q") or "",
            limit=min(_parse_int(query.text("limit")) or PAGE_SIZE, MAX_DISPLAYED),
            journal=query.text("journal") == "1",
            journal_search=query.text("journal_q") or "",
            journal_limit=min(_parse_int(query.text("journal_limit")) or PAGE_SIZE, MAX_DISPLAYED),
        )
        sid = query.text("sid")
        if sid is not None:
            item = self.phones.find(sid)
            if item is None:
                view.missing = sid
            else:
                view.found, view.phone = sid, phones.phone_number(item)
        phone = self.phones.get(view.phone)
        if phone is None:
            view.first = view.last = None
            return view
        self._set_range(view, phone, query.text("more"))
        return view

    def _set_range(self, view: View, phone: phones.Phone, more: str | None) -> None:
        """Set the first and last displayed item.

        :param more: ``older`` or ``newer`` to extend the range in that direction.
        """
        items = phone.items
        if view.found is not None:
            found = phone.index_of(next(item.seq for item in items if item.sid == view.found))
            start, end = max(found - PAGE_SIZE // 2, 0), found + PAGE_SIZE // 2
        else:
            end = len(items) if view.last is None else phone.index_after(view.last)
            start = max(end - PAGE_SIZE, 0) if view.first is None else phone.index_of(view.first)
        if more == "older":
            start = max(start - MORE_ITEMS, 0)
        elif more == "newer":
            end += MORE_ITEMS
        start = min(start, len(items) - 1)
        view.first = items[start].seq
        view.last = items[max(end, start + 1) - 1].seq if end < len(items) else None

    def parts(self, view: View) -> Iterator[tuple[str, str]]:
        """Yield the name and HTML of each part of the page."""
        clock = self.state.clock
        now = clock.now()
        phone = self.phones.get(view.phone)
        routes = self.phones.reply_routes(phone, view.phone)
        yield "phones", self._phone_list(view, now)
        yield "header", self._header(view, phone, can_call=view.phone.startswith("+") and bool(routes))
        yield "conversation", self._conversation(view, phone, now)
        yield "reply", render("reply.html", view=view, routes=routes)
        yield "faults", render("faults.html", faults=self.state.faults.pending)
        yield "quirks", render("quirks.html", quirks=list(self._quirks()))
        yield "clock", render("clock.html", now=now, frozen=clock.frozen, speed=clock.speed)
        if view.journal:
            yield "journal", self._journal(view)

    def _phone_list(self, view: View, now: float) -> str:
        wanted = "".join(character for character in view.search if character not in " -()").lower()
        matching = (phone for phone in self.phones if wanted in phone.number.lower())
        shown = list(islice(matching, view.limit + 1))
        rows = [(phone, self.bubble(phone.latest, now), phone.failures(now)) for phone in shown[: view.limit]]
        return render(
            "phones.html",
            view=view,
            rows=rows,
            recent=phones.RECENT_ITEMS,
            more=len(shown) > view.limit,
            total=len(self.phones),
        )

    def _header(self, view: View, phone: phones.Phone | None, *, can_call: bool) -> str:
        return render(
            "header.html",
            view=view,
            known_behavior=phones.known_behavior(view.phone),
            opted_out=self.phones.opted_out(view.phone) if phone else [],
            can_call=can_call,
            count=len(phone.items) if phone else 0,
        )

    def _conversation(self, view: View, phone: phones.Phone | None, now: float) -> str:
        if phone is None or view.first is None:
            return render("conversation.html", view=view, days=[], older=0, newer=0)
        start = phone.index_of(view.first)
        end = len(phone.items) if view.last is None else phone.index_after(view.last)
        days: list[tuple[str, list[Bubble]]] = []
        for item in phone.items[start:end]:
            day = format_day(item.created, now)
            if not days or days[-1][0] != day:
                days.append((day, []))
            days[-1][1].append(self.bubble(item, now))
        return render("conversation.html", view=view, days=days, older=start, newer=len(phone.items) - end)

    def _quirks(self) -> Iterator[tuple[str, str, Any, tuple[str, ...]]]:
        """Yield the name, label, current value and possible values of each quirk."""
        quirks = self.state.quirks
        for name in quirks.__slots__:
            label, choices = QUIRKS.get(name, (name.replace("_", " ").capitalize(), ()))
            yield name, label, getattr(quirks, name), choices

    def _journal(self, view: View) -> str:
        entries = self._search(view.journal_search.strip().lower(), view.journal_limit + 1)
        more = len(entries) > view.journal_limit
        return render(
            "journal.html", view=view, entries=entries[: view.journal_limit], more=more, total=self.state.journal.total
        )

    def _search(self, text: str, limit: int) -> list[Entry]:
        """Return the latest requests that contain a text, newest first."""
        journal = self.state.journal
        key = (journal.total, text, limit, len(journal))
        last = self._last_search
        if last is None or last[0] != key or any(entry.status is None for entry in last[1]):
            entries = (journal[index] for index in range(len(journal) - 1, -1, -1))
            if text:
                entries = (entry for entry in islice(entries, MAX_SEARCHED) if text in _searchable_text(entry))
            self._last_search = last = key, list(islice(entries, limit))
        return last[1]

    # -------------------------------------------------------------- messages and calls

    def bubble(self, item: phones.Item, now: float) -> Bubble:
        account = self.state.accounts.get(item.account_sid)
        name = "" if account is None or account is self.state.main else account.friendly_name
        return build_bubble(item, name, now)

    def hang_up(self, body: dict[str, Any]) -> dict[str, Any]:
        """End a call from the phone's side."""
        self.phones.refresh()
        sid = body.get("sid")
        record = self.phones.find(sid) if isinstance(sid, str) else None
        if not isinstance(record, Call):
            raise ControlError("no call has this SID", 404)
        now = self.state.clock.now()
        account = self.state.accounts.get(record.account_sid)
        if record.status(now) != "in-progress" or account is None:
            raise ControlError("the call is not in progress", 409)
        end_call(account, record, now, "completed")
        record.updated = now
        self.state.on_change(record)
        return render_call(record, now)


def _version(html: str) -> str:
    """Return a short hash of a part's HTML."""
    return blake2b(html.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _parse_int(text: str | None) -> int | None:
    """Return a non-negative integer, or None for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _searchable_text(entry: Entry) -> str:
    summary = f"{entry.method} {entry.path} {entry.status} {entry.code or ''} {entry.fault or ''} {entry.sid or ''} "
    params = unquote_plus((entry.query + b" " + entry.body).decode("latin-1"))
    if any(name in params for name in SECRET_PARAMS):  # a search must not reveal a secret either
        params = "&".join(f"{name}={value}" for name, value in entry.masked_params.items())
    return (summary + params).lower()

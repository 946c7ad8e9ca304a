"""The control API under ``/_emulator/``: for tests and people, not for Twilio's clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.emulator import calls, messages, twiml
from airflow_provider_twilio.emulator.faults import is_code, make_fault
from airflow_provider_twilio.emulator.params import Params, e164, is_url
from airflow_provider_twilio.emulator.webhooks import Webhooks
from airflow_provider_twilio.emulator.wire import Answer
from airflow_provider_twilio.emulator.world import Account, World

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.numbers import Number


class Wrong(Exception):
    """Refuse a control request, with a status and a reason."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Control:
    """Answer the control API for one world."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self.world = world
        self.webhooks = webhooks
        self.routes: dict[tuple[str, str], Callable[[Params, dict[str, Any]], Any]] = {
            ("GET", "requests"): self.requests,
            ("DELETE", "requests"): self.forget,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.fail_next,
            ("DELETE", "faults"): self.clear_faults,
            ("GET", "quirks"): self.quirks,
            ("POST", "quirks"): self.set_quirks,
            ("GET", "clock"): self.clock,
            ("POST", "clock"): self.move_clock,
            ("POST", "reset"): self.reset,
            ("POST", "messages"): self.inbound,
            ("POST", "calls"): self.inbound_call,
            ("POST", "statuses"): self.set_status,
            ("POST", "verified"): self.verified,
            ("POST", "calls/{}/digits"): self.digits,
            ("GET", "callbacks"): self.callbacks,
            ("GET", "state"): self.state,
        }

    def answer(self, method: str, path: str, query: bytes, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        try:
            name = path.removeprefix("/_emulator").strip("/")
            handler = self.routes.get((method, name))
            given = read_json(body, headers)
            if name.startswith("calls/") and name.endswith("/digits"):
                given["sid"], name = name.removeprefix("calls/").removesuffix("/digits"), "calls/{}/digits"
                handler = self.routes.get((method, name))
            if handler is None:
                known = any(route == name for _, route in self.routes)
                raise Wrong(
                    "this method is not taken here" if known else "there is nothing here", 405 if known else 404
                )
            return Answer(handler(Params.parse(query), given))
        except Wrong as wrong:
            return Answer({"error": str(wrong)}, wrong.status)

    def requests(self, query: Params, body: dict[str, Any]) -> Any:
        """Give the journal by ``method``, ``path``, ``status``, ``since`` and any parameter; the ``limit`` latest."""
        filters = {
            name: value for name, value in query.pairs if name not in ("method", "path", "status", "since", "limit")
        }
        try:
            status = int(query.text("status") or 0) or None
            since = float(query.text("since") or "-inf")
            limit = int(query.text("limit") or 0)
        except ValueError:
            raise Wrong("status, since and limit are numbers") from None
        found = [
            entry
            for entry in self.world.journal.find(query.text("method"), query.text("path"), status, since)
            if all(entry.params.get(name) == value for name, value in filters.items())
        ]
        return {"total": len(found), "requests": [entry.as_dict() for entry in (found[-limit:] if limit else found)]}

    def forget(self, query: Params, body: dict[str, Any]) -> Any:
        self.world.journal.clear()
        return {"requests": []}

    def faults(self, query: Params, body: dict[str, Any]) -> Any:
        return {
            "faults": [
                {"n": f.n, "name": f.name, "method": f.method, "path": f.path} for f in self.world.faults.waiting
            ]
        }

    def fail_next(self, query: Params, body: dict[str, Any]) -> Any:
        """Add a fault: the fields of :class:`Fault` as JSON."""
        try:
            self.world.faults.add(make_fault(body))
        except (TypeError, ValueError) as error:
            raise Wrong(str(error)) from None
        return self.faults(query, body)

    def clear_faults(self, query: Params, body: dict[str, Any]) -> Any:
        self.world.faults.clear()
        return {"faults": []}

    def quirks(self, query: Params, body: dict[str, Any]) -> Any:
        quirks = self.world.quirks
        return {name: getattr(quirks, name) for name in quirks.__slots__}

    def set_quirks(self, query: Params, body: dict[str, Any]) -> Any:
        try:
            self.world.quirks.set(**body)
        except ValueError as error:
            raise Wrong(str(error)) from None
        return self.quirks(query, body)

    def clock(self, query: Params, body: dict[str, Any]) -> Any:
        clock = self.world.clock
        return {"now": clock.utc.isoformat(), "frozen": clock.frozen, "speed": clock.speed}

    def move_clock(self, query: Params, body: dict[str, Any]) -> Any:
        """Move the clock: ``{"advance": seconds}``, ``{"freeze": true}`` or a time, ``{"freeze": false}``."""
        clock = self.world.clock
        try:
            by, frozen = float(body.get("advance", 0)), body.get("freeze")
            at = None if frozen is None or isinstance(frozen, bool) else datetime.fromisoformat(frozen)
            if at is None:
                clock.advance(by)
            elif by >= 0:
                clock.freeze(at + timedelta(seconds=by))
            else:
                raise ValueError("the clock only moves ahead")
            if at is None and frozen is not None:
                (clock.freeze if frozen else clock.resume)()
        except (TypeError, ValueError, OverflowError) as error:
            raise Wrong(str(error)) from None
        return self.clock(query, body)

    def reset(self, query: Params, body: dict[str, Any]) -> Any:
        self.world.reset()
        return {"reset": True}

    def inbound(self, query: Params, body: dict[str, Any]) -> Any:
        """Send a message from a phone: ``{"from": "+1…", "to": "+1…", "body": "…"}``."""
        sender, to, text = body.get("from"), body.get("to"), body.get("body", "")
        if not all(isinstance(value, str) for value in (sender, to, text)) or sender is None:
            raise Wrong("give from, to and body as strings; from as a phone number")
        media = body.get("media", [])
        if not isinstance(media, list) or not all(isinstance(url, str) for url in media):
            raise Wrong("media is a list of addresses")
        return messages.render(self.receive_message(str(to), str(sender), str(text), media), self.world.clock.now())

    def inbound_call(self, query: Params, body: dict[str, Any]) -> Any:
        """Call from a phone: ``{"from": "+1…", "to": "+1…"}``."""
        sender, to = body.get("from"), body.get("to")
        if not isinstance(sender, str) or not isinstance(to, str) or e164(sender) is None:
            raise Wrong("give from and to as phone numbers")
        return calls.render(self.receive_call(to, sender), self.world.clock.now())

    def set_status(self, query: Params, body: dict[str, Any]) -> Any:
        """Put a message into a status: ``{"sid": "SM…", "status": "undelivered", "error_code": 30003}``."""
        sid, status, error = body.get("sid"), body.get("status"), body.get("error_code")
        if not isinstance(sid, str) or not isinstance(status, str):
            raise Wrong("give sid and status as strings")
        return self.put_message(sid, status, error)

    def digits(self, query: Params, body: dict[str, Any]) -> Any:
        """Press keys on the phone at the other end of a call: ``{"digits": "1234#"}``."""
        keys = body.get("digits")
        if not isinstance(keys, str) or not keys or not set(keys) <= twiml.DIGITS:
            raise Wrong("digits are 0 to 9, * and #")
        return self.press(str(body["sid"]), keys)

    def press(self, sid: str, keys: str) -> dict[str, Any]:
        if not keys or not set(keys) <= twiml.DIGITS:
            raise Wrong("digits are 0 to 9, * and #")
        for account in self.world.accounts:
            record = account.calls.get(sid)
            if record is not None:
                if not calls.press(self.world, account, record, keys):
                    raise Wrong("this call listens to no keys now", 409)
                return calls.render(record, self.world.clock.now())
        raise Wrong(f"there is no call {sid}", 404)

    def verified(self, query: Params, body: dict[str, Any]) -> Any:
        """Verify a number: ``{"number": "+1…"}``, and ``account_sid`` for another account than the main one."""
        number, sid = body.get("number"), body.get("account_sid", self.world.main.sid)
        if not isinstance(number, str) or not isinstance(sid, str):
            raise Wrong("give number, and account_sid, as strings")
        return {"verified": self.verify(number, sid)}

    def verify(self, number: str, account_sid: str) -> list[str]:
        """Verify a number for an account; give all that it has verified."""
        account, given = self.world.accounts.get(account_sid), e164(number)
        if account is None:
            raise Wrong(f"there is no account {account_sid}", 404)
        if given is None:
            raise Wrong(f"{number} is not a phone number")
        account.verified.add(given)
        return sorted(account.verified)

    def callbacks(self, query: Params, body: dict[str, Any]) -> Any:
        """Give the webhooks called."""
        return {"callbacks": [delivery.as_dict() for delivery in self.world.deliveries]}

    def put_message(self, sid: str, status: str, error: int | None) -> dict[str, Any]:
        if status not in messages.STATUSES:
            raise Wrong(f"status is one of {', '.join(messages.STATUSES)}")
        if not is_code(error):
            raise Wrong(f"error_code can't be {error!r}")
        for account in self.world.accounts:
            message = account.messages.get(sid)
            if message is not None:
                now = self.world.clock.now()
                messages.set_outcome(account, message, now, status, error)
                if message.status_callback:
                    self.world.on_change(message)
                return messages.render(message, now)
        raise Wrong(f"there is no message {sid}", 404)

    def receive_message(self, to: str, sender: str, body: str, media: list[str]) -> messages.Message:
        """Let a phone send a message to a number of ours."""
        if not all(is_url(url) for url in media):
            raise Wrong("media are addresses that begin with http:// or https://")
        channel = "whatsapp:" if sender.startswith("whatsapp:") else ""
        account, owned, number = self._ends(to.removeprefix(channel), sender.removeprefix(channel))
        service = next((service for service in account.services if owned.sid in service.pool), None)
        message = messages.receive(
            self.world, account, channel + owned.phone_number, channel + number, body, media, service
        )
        self.webhooks.message_came_in(account, message, owned, service)
        return message

    def receive_call(self, to: str, sender: str) -> calls.CallRecord:
        """Let a phone call a number of ours."""
        account, owned, number = self._ends(to, sender)
        record = calls.receive(self.world, account, owned, number)
        self.webhooks.call_came_in(account, record, owned)
        return record

    def _ends(self, to: str, sender: str) -> tuple[Account, Number, str]:
        found, number = self.world.owner_of(e164(to) or to), e164(sender)
        if number is None:
            raise Wrong(f"{sender} is not a phone number")
        if found is None:
            raise Wrong(f"no account owns {to}", 404)
        if found[0].status != "active":
            raise Wrong(f"the account that owns {to} is not active", 409)
        return *found, number

    def state(self, query: Params, body: dict[str, Any]) -> Any:
        """Count what each account holds."""
        return {
            "accounts": [
                {
                    "sid": account.sid,
                    "friendly_name": account.friendly_name,
                    "status": account.status,
                    "messages": len(account.messages),
                    "calls": len(account.calls),
                    "numbers": [number.phone_number for number in account.numbers],
                }
                for account in self.world.accounts
            ]
        }


def read_json(body: bytes, headers: dict[bytes, bytes]) -> dict[str, Any]:
    if not body:
        return {}
    if not headers.get(b"content-type", b"").startswith(b"application/json"):
        raise Wrong("send JSON, as application/json", 415)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Wrong("this is not JSON") from None
    if not isinstance(value, dict):
        raise Wrong("send a JSON object")
    return value

"""The control API under ``/_emulator/``: for tests and for people, not for Twilio clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_twilio.emulator.callbacks import Callbacks
from airflow_provider_twilio.emulator.calling import press_keys, receive_call
from airflow_provider_twilio.emulator.faults import is_code, make_fault
from airflow_provider_twilio.emulator.handlers.calls import render_call
from airflow_provider_twilio.emulator.handlers.messages import render_message
from airflow_provider_twilio.emulator.messaging import override_status, receive_message
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.call import Call
from airflow_provider_twilio.emulator.models.message import STATUSES, Message
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber
from airflow_provider_twilio.emulator.params import Params, e164, is_url
from airflow_provider_twilio.emulator.responses import Response
from airflow_provider_twilio.emulator.state import State
from airflow_provider_twilio.emulator.twiml import DIGITS

Json = dict[str, Any]


class ControlError(Exception):
    """An error response of the control API: a reason and an HTTP status."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Control:
    """The control API of one emulator."""

    def __init__(self, state: State, callbacks: Callbacks) -> None:
        self.state = state
        self.callbacks = callbacks
        self.routes: dict[tuple[str, str], Callable[[Params, Json], Any]] = {
            ("GET", "requests"): self._list_requests,
            ("DELETE", "requests"): self._clear_requests,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "quirks"): self._list_quirks,
            ("POST", "quirks"): self._set_quirks,
            ("GET", "clock"): self._show_clock,
            ("POST", "clock"): self._set_clock,
            ("POST", "reset"): self._reset,
            ("POST", "messages"): self._receive_message,
            ("POST", "calls"): self._receive_call,
            ("POST", "statuses"): self._set_message_status,
            ("POST", "verified"): self._verify,
            ("POST", "calls/{}/digits"): self._press_keys,
            ("GET", "callbacks"): self._list_callbacks,
            ("GET", "state"): self._show_state,
        }

    def respond(self, method: str, path: str, query: bytes, body: bytes, headers: dict[bytes, bytes]) -> Response:
        try:
            name = path.removeprefix("/_emulator").strip("/")
            arguments = read_json(body, headers)
            if name.startswith("calls/") and name.endswith("/digits"):
                arguments["sid"], name = name.removeprefix("calls/").removesuffix("/digits"), "calls/{}/digits"
            handler = self.routes.get((method, name))
            if handler is None and any(route == name for _, route in self.routes):
                raise ControlError("this path does not support this method", 405)
            if handler is None:
                raise ControlError("there is no such path", 404)
            return Response(handler(Params.parse(query), arguments))
        except ControlError as error:
            return Response({"error": str(error)}, error.status)

    # -------------------------------------------------------------- journal, faults, quirks and clock

    def _list_requests(self, query: Params, body: Json) -> Json:
        """Return the latest ``limit`` requests of the journal.

        Further parameters filter them: ``method``, ``path``, ``status``, ``since`` and any parameter of the request.
        """
        filters = {
            name: value for name, value in query.pairs if name not in ("method", "path", "status", "since", "limit")
        }
        try:
            status = int(query.text("status") or 0) or None
            since = float(query.text("since") or "-inf")
            limit = int(query.text("limit") or 0)
        except ValueError:
            raise ControlError("status, since and limit must be numbers") from None
        found = [
            entry
            for entry in self.state.journal.find(query.text("method"), query.text("path"), status, since)
            if all(entry.params.get(name) == value for name, value in filters.items())
        ]
        return {"total": len(found), "requests": [entry.as_dict() for entry in (found[-limit:] if limit else found)]}

    def _clear_requests(self, query: Params, body: Json) -> Json:
        self.state.journal.clear()
        return {"requests": []}

    def _list_faults(self, query: Params, body: Json) -> Json:
        return {
            "faults": [
                {"n": fault.n, "name": fault.name, "method": fault.method, "path": fault.path}
                for fault in self.state.faults.pending
            ]
        }

    def _add_fault(self, query: Params, body: Json) -> Json:
        """Add a fault: the fields of :class:`Fault` as JSON."""
        try:
            self.state.faults.add(make_fault(body))
        except (TypeError, ValueError) as error:
            raise ControlError(str(error)) from None
        return self._list_faults(query, body)

    def _clear_faults(self, query: Params, body: Json) -> Json:
        self.state.faults.clear()
        return {"faults": []}

    def _list_quirks(self, query: Params, body: Json) -> Json:
        quirks = self.state.quirks
        return {name: getattr(quirks, name) for name in quirks.__slots__}

    def _set_quirks(self, query: Params, body: Json) -> Json:
        quirks = self.state.quirks
        if self.state.is_exposed and body.get("callbacks", quirks.callbacks) != quirks.callbacks:
            raise ControlError(
                "other machines can reach this emulator: restart it with --callbacks to change this", 403
            )
        try:
            quirks.set(**body)
        except ValueError as error:
            raise ControlError(str(error)) from None
        return self._list_quirks(query, body)

    def _show_clock(self, query: Params, body: Json) -> Json:
        clock = self.state.clock
        return {"now": clock.utc.isoformat(), "frozen": clock.frozen, "speed": clock.speed}

    def _set_clock(self, query: Params, body: Json) -> Json:
        """Move, stop or resume the clock.

        The body is ``{"advance": seconds}``, ``{"freeze": true}`` or a time, or ``{"freeze": false}``.
        """
        clock = self.state.clock
        try:
            seconds, freeze = float(body.get("advance", 0)), body.get("freeze")
            at = None if freeze is None or isinstance(freeze, bool) else datetime.fromisoformat(freeze)
            if at is None:
                clock.advance(seconds)
            elif seconds >= 0:
                clock.freeze(at + timedelta(seconds=seconds))
            else:
                raise ValueError("the clock cannot move backward")
            if at is None and freeze is not None:
                (clock.freeze if freeze else clock.resume)()
        except (TypeError, ValueError, OverflowError) as error:
            raise ControlError(str(error)) from None
        return self._show_clock(query, body)

    def _reset(self, query: Params, body: Json) -> Json:
        self.state.reset()
        return {"reset": True}

    # -------------------------------------------------------------- messages, calls and numbers

    def _receive_message(self, query: Params, body: Json) -> Json:
        """Receive a message from a phone: ``{"from": "+1…", "to": "+1…", "body": "…"}``."""
        sender, to, text = body.get("from"), body.get("to"), body.get("body", "")
        if not all(isinstance(value, str) for value in (sender, to, text)) or sender is None:
            raise ControlError("from, to and body must be strings, and from a phone number")
        media = body.get("media", [])
        if not isinstance(media, list) or not all(isinstance(url, str) for url in media):
            raise ControlError("media must be a list of URLs")
        return render_message(self.receive_message(str(to), str(sender), str(text), media), self.state.clock.now())

    def receive_message(self, to: str, sender: str, body: str, media: list[str]) -> Message:
        """Receive a message from a phone to a number of the emulator."""
        if not all(is_url(url) for url in media):
            raise ControlError("media must be URLs that begin with http:// or https://")
        channel = "whatsapp:" if sender.startswith("whatsapp:") else ""
        account, owned, number = self._resolve(to.removeprefix(channel), sender.removeprefix(channel))
        service = next((service for service in account.services if owned.sid in service.pool), None)
        message = receive_message(
            self.state, account, channel + owned.phone_number, channel + number, body, media, service
        )
        self.callbacks.on_inbound_message(account, message, owned, service)
        return message

    def _receive_call(self, query: Params, body: Json) -> Json:
        """Receive a call from a phone: ``{"from": "+1…", "to": "+1…"}``."""
        sender, to = body.get("from"), body.get("to")
        if not isinstance(sender, str) or not isinstance(to, str) or e164(sender) is None:
            raise ControlError("from and to must be phone numbers")
        return render_call(self.receive_call(to, sender), self.state.clock.now())

    def receive_call(self, to: str, sender: str) -> Call:
        """Receive a call from a phone to a number of the emulator."""
        account, owned, number = self._resolve(to, sender)
        call = receive_call(self.state, account, owned, number)
        self.callbacks.on_inbound_call(account, call, owned)
        return call

    def _resolve(self, to: str, sender: str) -> tuple[Account, PhoneNumber, str]:
        """Return the account and the record of the recipient's number, and the normalized sender."""
        found, number = self.state.owner_of(e164(to) or to), e164(sender)
        if number is None:
            raise ControlError(f"{sender} is not a phone number")
        if found is None:
            raise ControlError(f"no account owns {to}", 404)
        if found[0].status != "active":
            raise ControlError(f"the account that owns {to} is not active", 409)
        return *found, number

    def _set_message_status(self, query: Params, body: Json) -> Json:
        """Set the status of a message.

        The body is ``{"sid": "SM…", "status": "undelivered", "error_code": 30003}``.
        """
        sid, status, error = body.get("sid"), body.get("status"), body.get("error_code")
        if not isinstance(sid, str) or not isinstance(status, str):
            raise ControlError("sid and status must be strings")
        return self.set_message_status(sid, status, error)

    def set_message_status(self, sid: str, status: str, error: int | None) -> Json:
        if status not in STATUSES:
            raise ControlError(f"status must be one of {', '.join(STATUSES)}")
        if not is_code(error):
            raise ControlError(f"error_code cannot be {error!r}")
        for account in self.state.accounts:
            message = account.messages.get(sid)
            if message is not None:
                now = self.state.clock.now()
                override_status(account, message, now, status, error)
                if message.status_callback:
                    self.state.on_change(message)
                return render_message(message, now)
        raise ControlError(f"there is no message {sid}", 404)

    def _press_keys(self, query: Params, body: Json) -> Json:
        """Press keys on the phone that was called: ``{"digits": "1234#"}``."""
        keys = body.get("digits")
        if not isinstance(keys, str):
            raise ControlError("digits must be a string")
        return self.press_keys(str(body["sid"]), keys)

    def press_keys(self, sid: str, keys: str) -> Json:
        if not keys or not set(keys) <= DIGITS:
            raise ControlError("digits must be 0 to 9, * and #")
        for account in self.state.accounts:
            call = account.calls.get(sid)
            if call is not None:
                if not press_keys(self.state, account, call, keys):
                    raise ControlError("this call is not waiting for keys now", 409)
                return render_call(call, self.state.clock.now())
        raise ControlError(f"there is no call {sid}", 404)

    def _verify(self, query: Params, body: Json) -> Json:
        """Verify a number: ``{"number": "+1…"}``.

        By default, it is verified for the main account; ``account_sid`` selects another one.
        """
        number, sid = body.get("number"), body.get("account_sid", self.state.main.sid)
        if not isinstance(number, str) or not isinstance(sid, str):
            raise ControlError("number and account_sid must be strings")
        return {"verified": self.verify(number, sid)}

    def verify(self, number: str, account_sid: str) -> list[str]:
        """Verify a number for an account, and return all of its verified numbers."""
        account, normalized = self.state.accounts.get(account_sid), e164(number)
        if account is None:
            raise ControlError(f"there is no account {account_sid}", 404)
        if normalized is None:
            raise ControlError(f"{number} is not a phone number")
        account.verified_numbers.add(normalized)
        return sorted(account.verified_numbers)

    def _list_callbacks(self, query: Params, body: Json) -> Json:
        return {"callbacks": [attempt.as_dict() for attempt in self.state.callback_attempts]}

    def _show_state(self, query: Params, body: Json) -> Json:
        """Return a summary of each account."""
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
                for account in self.state.accounts
            ]
        }


def read_json(body: bytes, headers: dict[bytes, bytes]) -> Json:
    """Return the JSON object in a request's body; an empty one for an empty body."""
    if not body:
        return {}
    if not headers.get(b"content-type", b"").startswith(b"application/json"):
        raise ControlError("the content type must be application/json", 415)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ControlError("the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise ControlError("the body must be a JSON object")
    return value

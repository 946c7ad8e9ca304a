"""Injected faults: for the next n matching requests, or for as long as a quirk is set."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_provider_twilio.emulator.destinations import POLICIES
from airflow_provider_twilio.emulator.responses import Response, error_body

DEFAULT_ERRORS = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20006, "Access Denied"),
    404: (20404, "The requested resource was not found"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    502: (20502, "Bad Gateway"),
    503: (20503, "Service Unavailable"),
    504: (20504, "Gateway Timeout"),
}
EDGE_PAGE = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """A fault to inject, and the requests that it affects.

    The emulator processes a request with a fault only for ``stall``, ``cut`` and the three ``accept_then_`` faults.

    :param n: Number of requests to affect.
    :param status: Respond with this HTTP status, 200 to 599.
    :param code: Twilio's error code in that response; 0 for a body without one.
    :param retry_after: Value of a Retry-After header: seconds, or a date as a string.
    :param message: Error message in that response.
    :param drop: Close the connection without a response.
    :param stall: Wait this many seconds, at most a day, before processing the request, even if the client gives up.
    :param accept_then_drop: Process the request, then close the connection without a response.
    :param accept_then_stall: Process the request, then wait this many seconds before the response.
    :param accept_then_status: Process the request, then respond with this status nevertheless.
    :param cut: Process the request, then close the connection in the middle of the response body.
    :param html: Respond with an HTML page, as an edge server does.
    :param empty: Respond with an empty body.
    :param method: Affect requests with this method only.
    :param path: Affect requests whose path contains this string only.
    :param params: Affect requests with these form or query parameters only.
    :param skip: Number of matching requests to leave alone first.
    :raises ValueError: A value is invalid, or the fault is not exactly one of the above.
    """

    n: int = 1
    status: int | None = None
    code: int | None = None
    retry_after: float | str | None = None
    message: str | None = None
    drop: bool = False
    stall: float | None = None
    accept_then_drop: bool = False
    accept_then_stall: float | None = None
    accept_then_status: int | None = None
    cut: bool = False
    html: bool = False
    empty: bool = False
    method: str | None = None
    path: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0

    def __post_init__(self) -> None:
        _check(_FAULT_CHECKS, {name: getattr(self, name) for name in self.__slots__})
        chosen = [
            self.status is not None or self.html or self.empty,
            self.drop,
            self.stall is not None,
            self.accept_then_drop,
            self.accept_then_stall is not None,
            self.accept_then_status is not None,
            self.cut,
        ]
        if sum(chosen) != 1:
            raise ValueError(
                "a fault is exactly one of status (with html or empty), drop, stall, accept_then_drop,"
                " accept_then_stall, accept_then_status, cut"
            )

    @property
    def processes_request(self) -> bool:
        """Whether the request is processed in spite of the fault."""
        return (
            self.accept_then_drop
            or self.cut
            or self.accept_then_stall is not None
            or self.accept_then_status is not None
            or self.stall is not None
        )

    @property
    def name(self) -> str:
        """The name of the fault in the journal."""
        for name in ("drop", "accept_then_drop", "cut"):
            if getattr(self, name):
                return name
        for name in ("stall", "accept_then_stall", "accept_then_status"):
            if getattr(self, name) is not None:
                return name
        return "html" if self.html else "empty" if self.empty else f"status {self.status}"

    def matches(self, method: str, path: str, params: Mapping[str, Any]) -> bool:
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path is None or self.path in path)
            and all(params.get(name) == value for name, value in self.params.items())
        )

    def response(self) -> Response:
        """Return the response that replaces the regular one."""
        status = self.status or self.accept_then_status or (502 if self.html else 200)
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after}"}
        if self.html:
            return Response(EDGE_PAGE, status, headers, "text/html")
        if self.empty:
            return Response(None, status, headers)
        code, message = DEFAULT_ERRORS.get(status, (20500 if status >= 500 else 20001, "Error"))
        code = code if self.code is None else self.code
        body = error_body(code, self.message or message, status)
        if code == 0:
            body = {"message": self.message or message, "status": status}
        return Response(body, status, headers)


def parse_fault(text: str) -> Fault:
    """Parse a fault from the command line.

    The text consists of arguments of ``fail_next`` as ``name=value``, separated by spaces.

    Examples: ``"status=429 retry_after=2 n=3 method=POST path=Messages"``, ``"accept_then_drop
    params.To=+14155550100"``. A value that contains spaces is quoted.

    :raises ValueError: A name or a value is invalid.
    """
    arguments: dict[str, Any] = {}
    params: dict[str, str] = {}
    for part in shlex.split(text):
        name, sign, value = part.partition("=")
        if name.startswith("params."):
            params[name.removeprefix("params.")] = value
        else:
            arguments[name] = _ARGUMENT_TYPES.get(name, str)(value if sign else "true")
    return make_fault({**arguments, "params": params})


def make_fault(arguments: Mapping[str, Any]) -> Fault:
    """Build a fault from user input.

    :raises ValueError: A name or a value is invalid.
    """
    for name in arguments:
        if name not in (*_ARGUMENT_TYPES, "params"):
            raise ValueError(f"a fault has no {name!r}: use {', '.join(_ARGUMENT_TYPES)} or params")
    return Fault(**arguments)


def parse_quirk(text: str) -> dict[str, Any]:
    """Parse a quirk from the command line, such as ``list_lag=5``.

    ``true``, ``false`` and ``none`` are values, too.

    :raises ValueError: The name or the value is invalid.
    """
    name, _, value = text.partition("=")
    parsed: Any = value
    if value.lower() in ("true", "false", "none"):
        parsed = {"true": True, "false": False}.get(value.lower())
    for convert in (int, float):
        if parsed is value:
            try:
                parsed = convert(value)
            except ValueError:
                continue
    # For callbacks, "none" is a word of its own; for the other quirks, it stands for None.
    quirks = {name: value if name == "callbacks" else parsed}
    Quirks().set(**quirks)
    return quirks


def _parse_bool(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is not true or false")
    return value.lower() == "true"


def _parse_seconds_or_date(value: str) -> float | str:
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        return value


_ARGUMENT_TYPES: dict[str, Callable[[str], Any]] = {
    "n": int, "status": int, "code": int, "retry_after": _parse_seconds_or_date, "message": str, "drop": _parse_bool,
    "stall": float, "accept_then_drop": _parse_bool, "accept_then_stall": float, "accept_then_status": int,
    "cut": _parse_bool, "html": _parse_bool, "empty": _parse_bool, "method": str, "path": str, "skip": int,
}  # fmt: skip


class Faults:
    """The faults that wait for matching requests. The first one that matches applies."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._pending.append(fault)

    def take(self, method: str, path: str, params: Mapping[str, Any]) -> Fault | None:
        """Return the fault for a request, and count the request; None if there is no fault for it."""
        for fault in self._pending:
            if fault.matches(method, path, params):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.n -= 1
                if fault.n == 0:
                    self._pending.remove(fault)
                return fault
        return None

    @property
    def pending(self) -> list[Fault]:
        return list(self._pending)

    def clear(self) -> None:
        self._pending.clear()


@dataclass(slots=True)
class Quirks:
    """Behavior that Twilio does not rule out, or shows under load. Times are in seconds.

    :param list_lag: Time during which new records are missing from lists.
    :param fetch_lag: Time during which a new SID responds with 404.
    :param status_lag: Age of the statuses that are shown.
    :param price_lag: Time by which prices appear late, as Twilio bills later.
    :param unsent: Position of messages without ``date_sent`` in lists: ``first``, ``last`` or by ``date_created``.
    :param page_token_life: Time after which a PageToken is rejected (21481); None for never.
    :param concurrency: Number of concurrent requests of an account. Further ones get status 429 and code 20429
        immediately; the others take at least 0.05 s each. None for no limit.
    :param latency: Minimum time of every response.
    :param jitter: Maximum additional time of a response.
    :param callbacks: Addresses that are called back: ``local`` ones only, ``any``, or ``none``.
    :param callback_copies: Number of times each callback is sent: 0 loses all of them, 2 duplicates each.
    :param callback_order: ``kept``, or ``reversed`` to send all callbacks of a message or call at its end, last first.
    :param trial: Emulate a trial account: bodies get Twilio's prefix, and only verified numbers can be reached.
    :param whatsapp_window: Fail a WhatsApp message without a template (63016) unless the phone wrote within a day.
    """

    list_lag: float = 0.0
    fetch_lag: float = 0.0
    status_lag: float = 0.0
    price_lag: float = 0.0
    unsent: str = "date_created"
    page_token_life: float | None = None
    concurrency: int | None = None
    latency: float = 0.0
    jitter: float = 0.0
    callbacks: str = "local"
    callback_copies: int = 1
    callback_order: str = "kept"
    trial: bool = False
    whatsapp_window: bool = False

    def set(self, /, **quirks: Any) -> None:
        """Set quirks by name.

        :raises ValueError: A name or a value is invalid. No quirk was changed.
        """
        unknown = next((name for name in quirks if name not in _QUIRK_CHECKS), None)
        if unknown is not None:
            raise ValueError(f"there is no quirk {unknown!r}: use {', '.join(_QUIRK_CHECKS)}")
        _check(_QUIRK_CHECKS, quirks)
        for name, value in quirks.items():
            setattr(self, name, value)


# ---------------------------------------------------------------- validation

Check: TypeAlias = Callable[[Any], bool]


def _check(checks: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    """Raise a ValueError for an invalid value.

    Values come from users and are used much later, when the error would be hard to find.
    """
    for name, value in values.items():
        if not checks[name](value):
            raise ValueError(f"{name} cannot be {value!r}")


def _integer(minimum: int, maximum: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def _seconds(maximum: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= maximum


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_params(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_string(item) for pair in value.items() for item in pair)


_COUNT = _integer(0, 10**9)
_LAG = _seconds(1e9)
is_code = _or_none(_integer(0, 999_999))
"""Return whether a value can be one of Twilio's error codes, or None."""

_FAULT_CHECKS: dict[str, Check] = {
    "n": _integer(1, 10**9),
    "status": _or_none(_integer(200, 599)),
    "code": is_code,
    "retry_after": _or_none(lambda value: value.isprintable() if isinstance(value, str) else _LAG(value)),
    "message": _or_none(_is_string),
    "drop": _is_bool,
    "stall": _or_none(_seconds(86_400)),
    "accept_then_drop": _is_bool,
    "accept_then_stall": _or_none(_seconds(86_400)),
    "accept_then_status": _or_none(_integer(200, 599)),
    "cut": _is_bool,
    "html": _is_bool,
    "empty": _is_bool,
    "method": _or_none(_is_string),
    "path": _or_none(_is_string),
    "params": _is_params,
    "skip": _COUNT,
}
_QUIRK_CHECKS: dict[str, Check] = {
    "list_lag": _LAG,
    "fetch_lag": _LAG,
    "status_lag": _LAG,
    "price_lag": _LAG,
    "unsent": _one_of("first", "last", "date_created"),
    "page_token_life": _or_none(_LAG),
    "concurrency": _or_none(_COUNT),
    "latency": _LAG,
    "jitter": _LAG,
    "callbacks": _one_of(*POLICIES),
    "callback_copies": _integer(0, 10),
    "callback_order": _one_of("kept", "reversed"),
    "trial": _is_bool,
    "whatsapp_window": _is_bool,
}

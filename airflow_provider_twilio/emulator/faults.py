"""What can be made to go wrong: for the next n requests of a kind, or for as long as a switch is on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_provider_twilio.emulator.wire import Answer, error_body

MESSAGES = {
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
    """Describe one thing that goes wrong, and for which requests.

    Without one of the ``accept_then_`` kinds and ``cut``, the emulator does not act on the request.

    :param n: let it happen to so many of them.
    :param status: answer with this HTTP status, 200 to 599.
    :param code: Twilio's error code for that answer; 0 for a body without one.
    :param retry_after: a Retry-After header: seconds, or a date as a string.
    :param drop: close the connection without an answer.
    :param stall: wait this many seconds, a day at most, and only then act, whether or not anyone waits for the answer.
    :param accept_then_drop: act, then close the connection without an answer.
    :param accept_then_stall: act, then wait this many seconds before the answer.
    :param accept_then_status: act, then answer with this status all the same.
    :param cut: act, then close the connection in the middle of the answer's body.
    :param html: answer with an HTML page, as an edge server does.
    :param empty: answer with an empty body.
    :param method: for requests of this method only.
    :param path: for requests whose path contains this text only.
    :param params: for requests with these form or query parameters only.
    :param skip: let this many such requests pass before.
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
        _check(_FIELDS, {name: getattr(self, name) for name in self.__slots__})
        kinds = [
            self.status is not None or self.html or self.empty,
            self.drop,
            self.stall is not None,
            self.accept_then_drop,
            self.accept_then_stall is not None,
            self.accept_then_status is not None,
            self.cut,
        ]
        if sum(kinds) != 1:
            raise ValueError(
                "a fault is one of status (with html or empty), drop, stall, accept_then_drop, accept_then_stall,"
                " accept_then_status, cut"
            )

    @property
    def acts(self) -> bool:
        """Whether the request is carried out."""
        return (
            self.accept_then_drop
            or self.cut
            or self.accept_then_stall is not None
            or self.accept_then_status is not None
            or self.stall is not None
        )

    @property
    def name(self) -> str:
        """Name the fault as the journal does."""
        for kind in ("drop", "accept_then_drop", "cut"):
            if getattr(self, kind):
                return kind
        for kind in ("stall", "accept_then_stall", "accept_then_status"):
            if getattr(self, kind) is not None:
                return kind
        return "html" if self.html else "empty" if self.empty else f"status {self.status}"

    def fits(self, method: str, path: str, params: Mapping[str, Any]) -> bool:
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path is None or self.path in path)
            and all(params.get(name) == value for name, value in self.params.items())
        )

    def answer(self) -> Answer:
        """Give the answer that takes the place of Twilio's."""
        status = self.status or self.accept_then_status or (502 if self.html else 200)
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after}"}
        if self.html:
            return Answer(EDGE_PAGE, status, headers, "text/html")
        if self.empty:
            return Answer(None, status, headers)
        code, message = MESSAGES.get(status, (20500 if status >= 500 else 20001, "Error"))
        code = code if self.code is None else self.code
        body = error_body(code, self.message or message, status)
        if code == 0:
            body = {"message": self.message or message, "status": status}
        return Answer(body, status, headers)


def read_fault(text: str) -> Fault:
    """Read a fault as the command line has it: the arguments of ``fail_next``, as ``name=value`` with spaces between.

    ``"status=429 retry_after=2 n=3 method=POST path=Messages"``, ``"accept_then_drop params.To=+14155550100"``; a value
    with spaces is quoted. What is wrong with it is a ValueError.
    """
    given: dict[str, Any] = {}
    params: dict[str, str] = {}
    for part in shlex.split(text):
        name, sign, value = part.partition("=")
        if name.startswith("params."):
            params[name.removeprefix("params.")] = value
        else:
            given[name] = _KINDS.get(name, str)(value if sign else "true")
    return make_fault({**given, "params": params})


def make_fault(given: Mapping[str, Any]) -> Fault:
    """Make a fault of what a user has named; what is wrong with it is a ValueError."""
    for name in given:
        if name not in (*_KINDS, "params"):
            raise ValueError(f"there is no {name!r} in a fault; there are {', '.join(_KINDS)}, params")
    return Fault(**given)


def read_quirk(text: str) -> dict[str, Any]:
    """Read a switch as the command line has it: ``list_lag=5``, ``trial=true``, ``concurrency=none``."""
    name, _, value = text.partition("=")
    read: Any = value
    if value.lower() in ("true", "false", "none"):
        read = {"true": True, "false": False}.get(value.lower())
    for kind in (int, float):
        if read is value:
            try:
                read = kind(value)
            except ValueError:
                continue
    # "none" is a word for one switch, and no value for the others.
    switches = {name: value if name == "callbacks" else read}
    Quirks().set(**switches)
    return switches


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return value.lower() == "true"


def _seconds_or_date(value: str) -> float | str:
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        return value


_KINDS: dict[str, Callable[[str], Any]] = {
    "n": int, "status": int, "code": int, "retry_after": _seconds_or_date, "message": str, "drop": _truth,
    "stall": float, "accept_then_drop": _truth, "accept_then_stall": float, "accept_then_status": int, "cut": _truth,
    "html": _truth, "empty": _truth, "method": str, "path": str, "skip": int,
}  # fmt: skip


class Faults:
    """Hold the faults that wait for their requests, the first that fits first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def take(self, method: str, path: str, params: Mapping[str, Any]) -> Fault | None:
        """Give the fault for a request, and count it."""
        for fault in self._waiting:
            if fault.fits(method, path, params):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.n -= 1
                if fault.n == 0:
                    self._waiting.remove(fault)
                return fault
        return None

    @property
    def waiting(self) -> list[Fault]:
        return list(self._waiting)

    def clear(self) -> None:
        self._waiting.clear()


@dataclass(slots=True)
class Quirks:
    """Switch what Twilio does not promise, and what it does under load. Times are in seconds.

    :param list_lag: new records are missing from lists for so long.
    :param fetch_lag: a fresh SID answers 404 for so long.
    :param status_lag: statuses are shown as they were so long ago.
    :param price_lag: prices are told so long after they are known: Twilio bills later.
    :param unsent: where messages without ``date_sent`` stand in lists: ``first``, ``last`` or by ``date_created``.
    :param page_token_life: PageTokens are refused (21481) after so long; None for never.
    :param concurrency: an account's requests above this many at once are answered 429 with code 20429, without delay;
        each other one takes 0.05 s at least. None for no ceiling.
    :param latency: every answer takes so long at least.
    :param jitter: and up to so much longer.
    :param callbacks: which webhooks are called: ``local`` addresses only, ``any``, or ``none``.
    :param callback_copies: how often each is told the same: 0 loses them all, 2 repeats each.
    :param callback_order: ``kept``, or ``reversed`` once a message or call has come to its end.
    :param trial: the account is a trial account: bodies get Twilio's prefix, and only verified numbers are sent to.
    :param whatsapp_window: a WhatsApp message without a template fails (63016) unless the phone wrote within a day.
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

    def set(self, /, **switches: Any) -> None:
        """Set switches by name; a wrong name or value is a ValueError and changes nothing."""
        unknown = next((name for name in switches if name not in _SWITCHES), None)
        if unknown is not None:
            raise ValueError(f"there is no switch {unknown!r}; there are {', '.join(_SWITCHES)}")
        _check(_SWITCHES, switches)
        for name, value in switches.items():
            setattr(self, name, value)


# ---------------------------------------------------------------- what the values can be

Check: TypeAlias = Callable[[Any], bool]


def _check(checks: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    """Refuse a value that can't be: they come from JSON, the command line and Python, and are used later."""
    for name, value in values.items():
        if not checks[name](value):
            raise ValueError(f"{name} can't be {value!r}")


def _whole(least: int, most: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _seconds(most: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_params(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_text(text) for pair in value.items() for text in pair)


_MANY = _whole(0, 10**9)
_LAG = _seconds(1e9)
is_code = _or_none(_whole(0, 999_999))
"""Tell whether a value can be one of Twilio's error codes, or none."""

_FIELDS: dict[str, Check] = {
    "n": _whole(1, 10**9),
    "status": _or_none(_whole(200, 599)),
    "code": is_code,
    "retry_after": _or_none(lambda value: value.isprintable() if isinstance(value, str) else _LAG(value)),
    "message": _or_none(_is_text),
    "drop": _is_truth,
    "stall": _or_none(_seconds(86_400)),
    "accept_then_drop": _is_truth,
    "accept_then_stall": _or_none(_seconds(86_400)),
    "accept_then_status": _or_none(_whole(200, 599)),
    "cut": _is_truth,
    "html": _is_truth,
    "empty": _is_truth,
    "method": _or_none(_is_text),
    "path": _or_none(_is_text),
    "params": _is_params,
    "skip": _MANY,
}
_SWITCHES: dict[str, Check] = {
    "list_lag": _LAG,
    "fetch_lag": _LAG,
    "status_lag": _LAG,
    "price_lag": _LAG,
    "unsent": _one_of("first", "last", "date_created"),
    "page_token_life": _or_none(_LAG),
    "concurrency": _or_none(_MANY),
    "latency": _LAG,
    "jitter": _LAG,
    "callbacks": _one_of("local", "any", "none"),
    "callback_copies": _whole(0, 10),
    "callback_order": _one_of("kept", "reversed"),
    "trial": _is_truth,
    "whatsapp_window": _is_truth,
}

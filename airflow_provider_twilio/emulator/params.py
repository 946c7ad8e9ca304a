"""Read what a client sent: form fields and query parameters, each refused with Twilio's code if it can't be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_twilio.emulator.wire import Refused

Address = tuple[str, str]
"""A URL, and the method to call it by."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_FORMATTING = re.compile(r"[\s().-]+")
_DAY = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)")
_AMERICAN = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})(?:[ T](\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(?: ([A-Z]{2,5}))?")
_ZONES = {
    None: 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7,
}  # fmt: skip


class Params:
    """Hold parameters by name, in order, repeated ones too."""

    __slots__ = ("_first", "pairs")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._first: dict[str, str] = {}
        for name, value in pairs:
            self._first.setdefault(name, value)

    @classmethod
    def parse(cls, encoded: bytes) -> Params:
        """Parse a query string or a form; what isn't UTF-8 is replaced, not refused."""
        if not encoded:
            return EMPTY
        return cls(parse_qsl(encoded.decode("latin-1"), keep_blank_values=True))

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def get(self, name: str) -> str | None:
        """Give the first value, ``""`` included; None if there is none."""
        return self._first.get(name)

    def text(self, name: str) -> str | None:
        """Give the first value; None if it is missing or empty."""
        return self._first.get(name) or None

    def all(self, name: str) -> list[str]:
        """Give every value that isn't empty."""
        return [value for key, value in self.pairs if key == name and value]

    def flag(self, name: str) -> bool | None:
        value = self._first.get(name)
        if not value:
            return None
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise Refused(20001, f"Parameter '{name}' is not a boolean")

    def integer(self, name: str, least: int, most: int, code: int = 20001) -> int | None:
        value = self._first.get(name)
        if not value:
            return None
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise Refused(code, f"Parameter '{name}' must be a whole number from {least} to {most}")
        return int(value)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self._first.get(name)
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise Refused(20001, f"Parameter '{name}' must be a number from {least} to {most}")
        return number

    def choice(self, name: str, choices: Collection[str], code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if value not in choices:
            raise Refused(code, f"Parameter '{name}' must be one of {', '.join(choices)}")
        return value

    def url(self, name: str, code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if not is_url(value):
            raise Refused(code, f"The '{name}' URL is not a valid URL.")
        return value

    def sid(self, name: str, kind: str, code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if not re.fullmatch(rf"{kind}[0-9a-fA-F]{{32}}", value):
            raise Refused(code, f"Parameter '{name}' is not a valid {kind} SID")
        return value

    def as_dict(self) -> dict[str, str | list[str]]:
        """Give all as a dict, repeated ones as lists."""
        result: dict[str, str | list[str]] = {}
        for name, value in self.pairs:
            held = result.get(name)
            if held is None:
                result[name] = value
            elif isinstance(held, list):
                held.append(value)
            else:
                result[name] = [held, value]
        return result


EMPTY = Params([])


def is_url(value: str) -> bool:
    """Tell whether a value is an absolute http(s) URL that Twilio would call; host names with ``_`` are not."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and bool(host) and "_" not in host and port != 0 and " " not in value


def e164(value: str | None) -> str | None:
    """Normalise a phone number as Twilio does (punctuation, missing +1); None if it isn't one."""
    if not value or not value.isascii():
        return None
    digits = _FORMATTING.sub("", value)
    if not digits.startswith("+"):
        if len(digits) == 10 and digits[0] in "23456789":
            digits = "+1" + digits
        elif len(digits) == 11 and digits[0] == "1":
            digits = "+" + digits
        else:
            return None
    return digits if _E164.fullmatch(digits) else None


def reaches(where: str, url: str) -> bool:
    """Tell whether a webhook is called: ``local`` addresses only, ``any``, or ``none``."""
    if where != "local":
        return where == "any"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if is_private_name(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def is_private_name(host: str) -> bool:
    """Tell whether no public DNS knows a name: localhost, a container's, or one below a name that is kept for this."""
    return ("." not in host and ":" not in host) or host.endswith((".localhost", ".local", ".internal", ".test"))


class Window:
    """Tell whether a time is inside a date filter: ``Name``, ``Name<`` and ``Name>``, each a day or a timestamp."""

    __slots__ = ("least", "most")

    def __init__(self, least: float, most: float) -> None:
        self.least = least
        self.most = most

    @classmethod
    def read(cls, query: Params, name: str) -> Window | None:
        """Read the filter on a date, if there is one. Days count whole, in UTC; a bad date is refused (20001)."""
        least, most, given = float("-inf"), float("inf"), False
        for sign in ("", "<", ">"):
            value = query.text(name + sign)
            if value is None:
                continue
            given = True
            start, length = _moment(name, value)
            if sign in ("", ">"):
                least = max(least, start)
            if sign in ("", "<"):
                most = min(most, start + length)
        return cls(least, most) if given else None

    def holds(self, when: float | None) -> bool:
        return when is not None and self.least <= when < self.most


def _moment(name: str, value: str) -> tuple[float, float]:
    """Read a day or a timestamp; give its start and how long it lasts."""
    try:
        if _DAY.fullmatch(value):
            year, month, day = (int(part) for part in value.split("-"))
            return _stamp(datetime(year, month, day, tzinfo=UTC)), 86_400.0
        if american := _AMERICAN.fullmatch(value):
            month, day, year = (int(american[i]) for i in (1, 2, 3))
            hour, minute, second = (int(american[i] or 0) for i in (4, 5, 6))
            zone = timezone(timedelta(hours=_ZONES[american[7]]))
            start = _stamp(datetime(year, month, day, hour, minute, second, tzinfo=zone))
            return start, 1.0 if american[4] else 86_400.0
        when = datetime.fromisoformat(value.replace(" ", "T", 1) if "T" not in value else value)
        return float(int(_stamp(when if when.tzinfo else when.replace(tzinfo=UTC)))), 1.0
    except (ValueError, KeyError, OverflowError):
        raise Refused(20001, f"Invalid date value for '{name}'") from None


def _stamp(when: datetime) -> float:
    return when.timestamp()


def timestamp(value: str) -> float | None:
    """Read an ISO 8601 timestamp, UTC if it names no zone; None if it isn't one."""
    try:
        when = datetime.fromisoformat(value)
        return _stamp(when if when.tzinfo else when.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None

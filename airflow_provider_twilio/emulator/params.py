"""Form fields and query parameters. An invalid value raises an error with Twilio's code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_twilio.emulator.destinations import METADATA_NAMES, is_address_allowed, is_private_name
from airflow_provider_twilio.emulator.responses import ApiError

Address = tuple[str, str]
"""A URL, and the HTTP method to request it with."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_FORMATTING = re.compile(r"[\s().-]+")
_DAY = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)")
_AMERICAN = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})(?:[ T](\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(?: ([A-Z]{2,5}))?")
_ZONES = {
    None: 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7,
}  # fmt: skip


class Params:
    """Parameters by name, in order. A name can occur more than once.

    The methods that parse a value return None if it is missing or empty. They raise an :class:`ApiError` if it is
    invalid.
    """

    __slots__ = ("_first", "pairs")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._first: dict[str, str] = {}
        for name, value in pairs:
            self._first.setdefault(name, value)

    @classmethod
    def parse(cls, encoded: bytes) -> Params:
        """Parse a query string or a form. Bytes that are not UTF-8 are replaced."""
        if not encoded:
            return EMPTY
        return cls(parse_qsl(encoded.decode("latin-1"), keep_blank_values=True))

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def get(self, name: str) -> str | None:
        """Return the first value, which may be empty; None if it is missing."""
        return self._first.get(name)

    def text(self, name: str) -> str | None:
        """Return the first value; None if it is missing or empty."""
        return self._first.get(name) or None

    def all(self, name: str) -> list[str]:
        """Return all values that are not empty."""
        return [value for key, value in self.pairs if key == name and value]

    def flag(self, name: str) -> bool | None:
        value = self._first.get(name)
        if not value:
            return None
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise ApiError(20001, f"Parameter '{name}' is not a boolean")

    def integer(self, name: str, minimum: int, maximum: int, code: int = 20001) -> int | None:
        value = self._first.get(name)
        if not value:
            return None
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not minimum <= int(value) <= maximum:
            raise ApiError(code, f"Parameter '{name}' must be a whole number from {minimum} to {maximum}")
        return int(value)

    def number(self, name: str, minimum: float, maximum: float) -> float | None:
        value = self._first.get(name)
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not minimum <= number <= maximum:
            raise ApiError(20001, f"Parameter '{name}' must be a number from {minimum} to {maximum}")
        return number

    def choice(self, name: str, choices: Collection[str], code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if value not in choices:
            raise ApiError(code, f"Parameter '{name}' must be one of {', '.join(choices)}")
        return value

    def url(self, name: str, code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if not is_url(value):
            raise ApiError(code, f"The '{name}' URL is not a valid URL.")
        return value

    def sid(self, name: str, prefix: str, code: int = 20001) -> str | None:
        value = self._first.get(name)
        if not value:
            return None
        if not re.fullmatch(rf"{prefix}[0-9a-fA-F]{{32}}", value):
            raise ApiError(code, f"Parameter '{name}' is not a valid {prefix} SID")
        return value


EMPTY = Params([])


def is_url(value: str) -> bool:
    """Return whether a value is an absolute http(s) URL that Twilio accepts.

    Twilio accepts no underscore in the host.
    """
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and bool(host) and "_" not in host and port != 0 and " " not in value


def e164(value: str | None) -> str | None:
    """Normalize a phone number as Twilio does; return None if it is not one.

    Punctuation is removed, and a missing +1 added.
    """
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


def is_callback_allowed(policy: str, url: str) -> bool:
    """Return whether a URL may be called back, as far as its text shows.

    The addresses that its host resolves to are checked when the callback is sent.

    :param policy: The ``callbacks`` quirk: ``local`` for local addresses only, ``any``, or ``none``.
    """
    if policy == "none":
        return False
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return policy == "any"
    if host in METADATA_NAMES:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return policy == "any" or is_private_name(host)
    return is_address_allowed(policy, address)


class DateRange:
    """A filter on a date: the parameters ``Name``, ``Name<`` and ``Name>``.

    Each of them is a day or a timestamp.
    """

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    @classmethod
    def parse(cls, query: Params, name: str) -> DateRange | None:
        """Return the filter on a date; None if there is none. Days are whole days in UTC.

        :raises ApiError: A date is invalid (20001).
        """
        start, end, is_given = float("-inf"), float("inf"), False
        for sign in ("", "<", ">"):
            value = query.text(name + sign)
            if value is None:
                continue
            is_given = True
            first, length = _parse_date(name, value)
            if sign in ("", ">"):
                start = max(start, first)
            if sign in ("", "<"):
                end = min(end, first + length)
        return cls(start, end) if is_given else None

    def contains(self, when: float | None) -> bool:
        return when is not None and self.start <= when < self.end


def _parse_date(name: str, value: str) -> tuple[float, float]:
    """Return the start of a day or a timestamp, and its length in seconds."""
    try:
        if _DAY.fullmatch(value):
            year, month, day = (int(part) for part in value.split("-"))
            return datetime(year, month, day, tzinfo=UTC).timestamp(), 86_400.0
        if american := _AMERICAN.fullmatch(value):
            month, day, year = (int(american[i]) for i in (1, 2, 3))
            hour, minute, second = (int(american[i] or 0) for i in (4, 5, 6))
            zone = timezone(timedelta(hours=_ZONES[american[7]]))
            start = datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()
            return start, 1.0 if american[4] else 86_400.0
        when = datetime.fromisoformat(value.replace(" ", "T", 1) if "T" not in value else value)
        return float(int(_utc(when).timestamp())), 1.0
    except (ValueError, KeyError, OverflowError):
        raise ApiError(20001, f"Invalid date value for '{name}'") from None


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def parse_timestamp(value: str) -> float | None:
    """Return the time of an ISO 8601 timestamp, in UTC by default; None if it is not one."""
    try:
        return _utc(datetime.fromisoformat(value)).timestamp()
    except (ValueError, OverflowError):
        return None

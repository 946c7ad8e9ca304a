"""Records: the JSON object that Twilio sent, with typed properties."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from functools import cache
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    TypeVar,
    cast,
    overload,
)

from airflow_provider_twilio.api.outcomes import error_for_unreadable
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import ISO_DAY

if TYPE_CHECKING:
    from pendulum import DateTime

    from airflow_provider_twilio.api.response import Response

T = TypeVar("T")

SECRETS = frozenset({"auth_token"})
"""What Twilio tells that nobody needs to see, in records of whatever kind."""


_RFC_2822 = r"..., ([0-9]{2}) (...) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) \+0000"


_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}


def parse_datetime(text: str) -> DateTime:
    """Parse Twilio's RFC 2822 dates, and the ISO 8601 ones of its newer APIs, into an aware UTC time."""
    import pendulum

    found = re.fullmatch(_RFC_2822, text)
    if found and found[2] in _MONTHS:  # as Twilio writes them: the ways below take five times as long
        day, month, year, hour, minute, second = found.groups()
        when = (int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
        return pendulum.DateTime(*when, tzinfo=pendulum.UTC)
    if re.match(ISO_DAY, text):
        return cast("DateTime", pendulum.parse(text))
    return pendulum.instance(parsedate_to_datetime(text)).in_timezone("UTC")


def _parse_date(text: str) -> date:
    return date.fromisoformat(text[:10])


def _parse_decimal(raw: Any) -> Decimal:
    """Parse a number as it reads; a float's exact value has digits that nobody wrote."""
    return Decimal(str(raw))


def _parse_bool(raw: Any) -> bool:
    return raw.lower() == "true" if isinstance(raw, str) else bool(raw)


_PARSERS: dict[Any, Callable[[Any], Any]] = {
    datetime: parse_datetime,
    date: _parse_date,
    Decimal: _parse_decimal,
    bool: _parse_bool,
}


class Field(Generic[T]):
    """Declare a typed property over a record's raw value, parsed on access; None where Twilio sent none.

    :param kind: ``str``, ``int``, ``bool``, ``Decimal``, ``datetime``, ``date``, ``dict`` or ``list``.
    :param name: the key in the record, where it isn't the property's own name (``from_`` reads ``from``).
    """

    def __init__(self, kind: type[T], name: str | None = None) -> None:
        self.kind = kind
        self.name = name or ""
        self.parse: Callable[[Any], T] = _PARSERS.get(kind, kind)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name.removesuffix("_")

    @overload
    def __get__(self: Field[datetime], instance: Record, owner: type) -> DateTime | None: ...
    @overload
    def __get__(self, instance: Record, owner: type) -> T | None: ...
    @overload
    def __get__(self, instance: None, owner: type) -> Field[T]: ...
    def __get__(self, instance: Record | None, owner: type) -> Any:
        if instance is None:
            return self
        raw = instance.get(self.name)
        if raw is None or (raw == "" and self.kind is not str):
            return None
        try:
            return self.parse(raw)
        except (ValueError, TypeError, AttributeError, OverflowError, InvalidOperation):
            raise ValueError(
                f"{type(instance).__name__}.{self.name} is not a {self.kind.__name__}: got a {type(raw).__name__}"
                f" of length {len(str(raw))}; the raw value is record[{self.name!r}]"
            ) from None

    def __set__(self, instance: Record, value: Any) -> None:
        raise AttributeError(f"{self.name} is read-only; the raw value is record[{self.name!r}]")


class Sid(Field[str]):
    """Declare the property ``sid``, which every such record has; only a dry run's has None there."""

    def __init__(self) -> None:
        super().__init__(str)

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: Record, owner: type) -> str: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Sid: ...
        def __get__(self, instance: Record | None, owner: type) -> Any: ...


class Record(dict[str, Any]):
    """Twilio's own JSON object with typed properties. Safe for XCom as it stands; unknown fields are kept.

    XCom hands back a plain dict: ``Message(that)`` restores the properties.
    """

    sid_prefixes: ClassVar[tuple[str, ...]] = ()
    """What the record's SID may start with; empty if it has none."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Keys that are dropped as the record is parsed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for secret in self.secrets:
            self.pop(secret, None)
        if type(self) is Record:  # of any other operation: of what kind isn't known
            remove_keys([self], SECRETS)

    @classmethod
    def parse(cls, request: Request[Any], response: Response) -> Any:
        """Read one record from an answer."""
        body = response.json()
        if isinstance(body, dict):
            return cls(body)
        if response.status == 204 and not cls.sid_prefixes:
            return cls()
        raise error_for_unreadable(request, response)

    def validation_error(self, account_sid: str | None) -> str | None:
        """Tell why this can't be the answer asked for, if so: a SID of the wrong kind, or another account's."""
        if not self.sid_prefixes:
            return None
        sid = self.get("sid")
        if not is_sid(sid, self.sid_prefixes):
            return f"has no {' or '.join(self.sid_prefixes)}… SID"
        owner = self.get("account_sid", account_sid)
        if account_sid and owner != account_sid:
            return f"belongs to account {owner!s:.34}, not {account_sid}"
        return None

    def __repr__(self) -> str:
        known = " ".join(str(self[key]) for key in ("sid", "status") if self.get(key))
        return f"<{type(self).__name__} {known}>" if known else f"<{type(self).__name__}>"

    __str__ = __repr__


def remove_keys(values: Iterable[Any], secrets: frozenset[str]) -> None:
    """Drop secrets out of nested values."""
    for value in values:
        if isinstance(value, dict):
            for secret in secrets & value.keys():
                del value[secret]
            remove_keys(value.values(), secrets)
        elif isinstance(value, list):
            remove_keys(value, secrets)


@cache
def _sid() -> re.Pattern[str]:
    return re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def is_sid(value: object, prefixes: Sequence[str] = ()) -> bool:
    """Tell whether a value is a Twilio SID, of one of these kinds if any are given."""
    return isinstance(value, str) and _sid().fullmatch(value) is not None and (not prefixes or value[:2] in prefixes)

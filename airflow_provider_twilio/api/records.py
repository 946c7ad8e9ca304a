"""Records: the JSON objects that Twilio returns, with typed properties."""

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
"""Keys to remove from records of unknown type."""


_RFC_2822 = r"..., ([0-9]{2}) (...) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) \+0000"


_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[start : start + 3]: start // 3 + 1 for start in range(0, 36, 3)}


def parse_datetime(text: str) -> DateTime:
    """Parse a time from Twilio to UTC.

    The 2010 API returns RFC 2822 dates, newer APIs return ISO 8601.
    """
    import pendulum

    match = re.fullmatch(_RFC_2822, text)
    if match and match[2] in _MONTHS:  # Twilio's usual format; the general parsers below are five times slower
        day, month, year, hour, minute, second = match.groups()
        parts = (int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
        return pendulum.DateTime(*parts, tzinfo=pendulum.UTC)
    if re.match(ISO_DAY, text):
        return cast("DateTime", pendulum.parse(text))
    return pendulum.instance(parsedate_to_datetime(text)).in_timezone("UTC")


def _parse_date(text: str) -> date:
    return date.fromisoformat(text[:10])


def _parse_decimal(raw: Any) -> Decimal:
    """Parse a number as written.

    The exact value of a float has digits that Twilio did not send.
    """
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
    """A typed property of a record, parsed on access. None where Twilio sent no value.

    :param value_type: Type of the value: ``str``, ``int``, ``bool``, ``Decimal``, ``datetime``, ``date``, ``dict`` or
        ``list``.
    :param name: Key in the record. By default the property's name without a trailing underscore.
    """

    def __init__(self, value_type: type[T], name: str | None = None) -> None:
        self.value_type = value_type
        self.name = name or ""
        self.parse: Callable[[Any], T] = _PARSERS.get(value_type, value_type)

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
        if raw is None or (raw == "" and self.value_type is not str):
            return None
        try:
            return self.parse(raw)
        except (ValueError, TypeError, AttributeError, OverflowError, InvalidOperation):
            raise ValueError(
                f"{type(instance).__name__}.{self.name} is not a {self.value_type.__name__}: got a {type(raw).__name__}"
                f" of length {len(str(raw))}; the raw value is record[{self.name!r}]"
            ) from None

    def __set__(self, instance: Record, value: Any) -> None:
        raise AttributeError(f"{self.name} is read-only; the raw value is record[{self.name!r}]")


class Sid(Field[str]):
    """The property ``sid`` of a record. Only the record of a dry run has None there."""

    def __init__(self) -> None:
        super().__init__(str)

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: Record, owner: type) -> str: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Sid: ...
        def __get__(self, instance: Record | None, owner: type) -> Any: ...


class Record(dict[str, Any]):
    """A JSON object from Twilio with typed properties. Unknown keys are kept.

    A record is a dict, so it can go to XCom as it is. XCom returns a plain dict; ``Message(data)`` restores the
    properties.

    .. code-block:: python

        message = Message({"sid": "SM0123456789abcdef0123456789abcdef", "num_segments": "2"})
        message["num_segments"]  # "2", as Twilio sent it
        message.num_segments  # 2
    """

    sid_prefixes: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the record's SID. Empty if the record has no SID."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Keys to remove when the record is created."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for secret in self.secrets:
            self.pop(secret, None)
        if type(self) is Record:  # the response to a raw request, whose type is unknown
            remove_keys([self], SECRETS)

    @classmethod
    def parse(cls, request: Request[Any], response: Response) -> Any:
        """Parse a record from a response.

        :raises ServerError: When the response is not a JSON object and the request is idempotent.
        :raises OutcomeUnknown: When the response is not a JSON object and the request is not idempotent.
        """
        body = response.json()
        if isinstance(body, dict):
            return cls(body)
        if response.status == 204 and not cls.sid_prefixes:
            return cls()
        raise error_for_unreadable(request, response)

    def validation_error(self, account_sid: str | None) -> str | None:
        """Return why this record cannot be the requested one, or None.

        :param account_sid: Account that the record must belong to. None accepts any account.
        """
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
    """Remove secrets from nested lists and dicts."""
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
    """Return whether a value is a Twilio SID, optionally with one of these prefixes."""
    return isinstance(value, str) and _sid().fullmatch(value) is not None and (not prefixes or value[:2] in prefixes)

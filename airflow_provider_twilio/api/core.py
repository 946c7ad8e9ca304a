"""The conventions of Twilio's REST API, each written once: requests, records, operations and lists.

Everything here is a function of values. `client/` moves the bytes, and is the only place that does.

* A :class:`Request` is what is to be sent; ``request.answer`` knows how to read what comes back.
* A :class:`Record` is the dict that Twilio sent, with typed properties.
* An :func:`operation` is a function whose signature is its documentation and whose result is a Request. On the
  class it gives that Request; on a resource that is bound to a client it runs it.
* A :func:`listing` is its twin for lists, which are followed page by page.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from functools import cache, cached_property, lru_cache, wraps
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)
from urllib.parse import SplitResult, parse_qsl, quote, urljoin, urlsplit

from airflow_provider_twilio.api.errors import BadParameter, ServerError, TwilioError
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from pendulum import DateTime

    from airflow_provider_twilio.api.answers import Page, Response

P = ParamSpec("P")
T = TypeVar("T")
C_co = TypeVar("C_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)

VERSION = "2010-04-01"
SECRETS = frozenset({"auth_token"})
"""What Twilio tells that nobody needs to see, in records of whatever kind."""
DRY_RUN = "dry-run"
"""The status of what was not sent, since the connection says so."""
SETTLE = 30.0
"""Seconds beyond the time-out after which a request that is in no list was never carried out."""
LARGEST_PAGE = 1000
SMALLER_PAGES = (100, 20)
ADDRESSES = ("to", "from_")
"""Parameters of operations that are numbers, or addresses on a channel."""
OURS = ("limit", "page_size", "max_segments")
"""Parameters of operations that are not sent: they bound what is."""
# What a form escapes of ASCII: all but letters, digits and four signs.
_ESCAPES = {ord(sign): quote(sign, safe="") for sign in map(chr, range(128))}
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_RFC_2822 = r"..., ([0-9]{2}) (...) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) \+0000"
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}

# Where Twilio's spelling is not the parameter's own in PascalCase.
SPELLING = {
    "start": "StartDate",
    "end": "EndDate",
    "transfer_to_account_sid": "AccountSid",
}


# ---------------------------------------------------------------- values


class _Later:
    """Stand for a value that is not known yet."""

    def __repr__(self) -> str:
        return "LATER"


LATER: Final[Any] = _Later()
"""Given to an operation's checks for what is only known when the task runs: it passes them all."""


def spell(name: str) -> str:
    """Give the wire name of a parameter: ``media_url`` is ``MediaUrl``, ``date_sent_after`` is ``DateSent>``."""
    if name in SPELLING:
        return SPELLING[name]
    for ending, sign in (("_after", ">"), ("_before", "<")):
        if name.endswith(ending):
            return spell(name.removesuffix(ending)) + sign
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def wire_value(name: str, value: Any) -> str:
    """Write one value as Twilio reads it: ``true``, UTC times, plain decimals, JSON for mappings."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BadParameter(
                    name, f"has half a character at {error.start} (a lone surrogate)", "cut texts between characters"
                ) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise BadParameter(
                name,
                "is a datetime without a time zone",
                "give it one, as in pendulum.datetime(2026, 1, 1, tz='UTC') or dag_run.logical_date",
            )
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except OverflowError:
            raise BadParameter(
                name, "is out of the calendar's range", "give a time between the years 1 and 9999"
            ) from None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal | float):
        number = Decimal(str(value))
        if not number.is_finite():
            raise BadParameter(name, f"is {value}", "give a finite number")
        return format(number, "f")
    if isinstance(value, Mapping):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise BadParameter(name, "holds what JSON can't", "give strings, numbers, booleans, None") from None
        return wire_value(name, text)
    raise BadParameter(name, f"is of type {type(value).__name__}", "give a string, number, date, or list of strings")


def utc_text(name: str, text: str) -> str:
    """Write a time given as text, as templates render it, the way Twilio reads it. A day stays a day."""
    try:
        return text if re.fullmatch(_DAY, text) else wire_value(name, datetime.fromisoformat(text))
    except ValueError as error:
        if isinstance(error, BadParameter):
            raise
        return text


def address_text(text: str) -> str:
    """Write a number or channel address as Twilio lists it: the channel in lower case."""
    channel, colon, rest = text.partition(":")
    return f"{channel.lower()}:{rest}" if colon else text


def wire_values(name: str, value: Any) -> list[str]:
    """Write a value as the one or many strings it takes on the wire. None is none."""
    if value is None:
        return []
    if isinstance(value, str):
        return [wire_value(name, value)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [wire_value(name, item) for item in value]
    return [wire_value(name, value)]


# ---------------------------------------------------------------- requests


class Reader(Protocol[T_co]):
    """Read an answer: a Record class, a Listing (which reads a page), or :class:`Nothing`."""

    def read(self, request: Request[Any], response: Response) -> T_co: ...


class Request(NamedTuple, Generic[T]):
    """Describe one request to Twilio. Pure, comparable and picklable.

    :param method: GET, POST or DELETE (other methods for other hosts).
    :param path: below ``/2010-04-01/Accounts/{AccountSid}/``, or from the root if it starts with ``/``, or on another
        host of Twilio's if it starts with ``https://``. ``{AccountSid}`` is filled in by the client.
    :param answer: reads what comes back.
    :param data: form parameters (the query of a GET) in Twilio's spelling.
    :param json: a JSON body, instead of a form.
    :param repeatable: whether Twilio may see it twice without harm. Sending, dialling, buying and opening an account
        may not be repeated.
    :param needs: wire names of which one must be there when it is sent; the connection may supply them.
    :param max_segments: how many segments its body may have at the most; the client refuses more.
    """

    method: str
    path: str
    answer: Reader[T]
    data: tuple[tuple[str, str], ...] = ()
    json: Any = None
    repeatable: bool = True
    needs: tuple[str, ...] = ()
    max_segments: int | None = None

    @property
    def reads(self) -> bool:
        """Whether it only reads."""
        return self.method in ("GET", "HEAD")

    @property
    def template(self) -> str:
        """The path from the root, ``{AccountSid}`` not filled in; a URL for another host."""
        if self.path.startswith("/") or "://" in self.path:
            return self.path
        return f"/{VERSION}/Accounts/{{AccountSid}}/{self.path}"

    @property
    def lacks(self) -> bool:
        """Whether nothing of what it needs is there."""
        for name, value in self.data:
            if value and name in self.needs:
                return False
        return bool(self.needs)

    def get(self, name: str) -> str | None:
        """Give the first value of a parameter in Twilio's spelling."""
        for key, value in self.data:
            if key == name:
                return value
        return None

    def replacing(self, **values: str) -> Request[T]:
        """Give the same request with these parameters, in Twilio's spelling, in place of any there are."""
        kept = tuple((name, value) for name, value in self.data if name not in values)
        return self.but(data=kept + tuple(values.items()))

    def but(self, **fields: Any) -> Request[T]:
        """Give the same request with these fields instead."""
        return self._replace(**fields)

    # The two below are for what is sent many times: half as much work as ``but``.

    def at(self, path: str) -> Request[T]:
        """Give the same request to another path."""
        return Request(self.method, path, *self[2:])

    def saying(self, data: tuple[tuple[str, str], ...]) -> Request[T]:
        """Give the same request with other form parameters."""
        return Request(self.method, self.path, self.answer, data, *self[4:])

    def query(self) -> str:
        return "&".join([f"{quoted(name)}={quoted(value)}" for name, value in self.data])

    def smaller(self) -> Request[T] | None:
        """Give the same page request for fewer records; None where there is no smaller one."""
        size = next((int(value) for name, value in self.data if name == "PageSize" and value.isdecimal()), 0)
        step = next((step for step in SMALLER_PAGES if step < size), None)
        return None if step is None else self.replacing(PageSize=str(step))

    def __str__(self) -> str:
        """Name the request without its parameters: they carry numbers and texts."""
        return f"{self.method} {mask(urlsplit(self.template).path)}"

    def __repr__(self) -> str:
        return f"<Request {self}>"


@lru_cache(maxsize=256)
def quoted(text: str, safe: str = "") -> str:
    """Write a text as a form or an address has it. Names, paths, senders and many texts come again and again."""
    return text.translate(_ESCAPES) if text.isascii() and not safe else quote(text, safe=safe)


class Nothing:
    """Read an answer that has no content, as that to a DELETE."""

    @staticmethod
    def read(request: Request[Any], response: Response) -> None:
        return None


# ---------------------------------------------------------------- records


def parse_datetime(text: str) -> DateTime:
    """Parse Twilio's RFC 2822 dates, and the ISO 8601 ones of its newer APIs, into an aware UTC time."""
    import pendulum

    found = re.fullmatch(_RFC_2822, text)
    if found and found[2] in _MONTHS:  # as Twilio writes them: the ways below take five times as long
        day, month, year, hour, minute, second = found.groups()
        when = (int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
        return pendulum.DateTime(*when, tzinfo=pendulum.UTC)
    if re.match(_DAY, text):
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

    kinds: ClassVar[tuple[str, ...]] = ()
    """What the record's SID may start with; empty if it has none."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Keys that are dropped as the record is parsed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for secret in self.secrets:
            self.pop(secret, None)
        if type(self) is Record:  # of any other operation: of what kind isn't known
            drop([self], SECRETS)

    @classmethod
    def read(cls, request: Request[Any], response: Response) -> Any:
        """Read one record from an answer."""
        body = response.json()
        if isinstance(body, dict):
            return cls(body)
        if response.status == 204 and not cls.kinds:
            return cls()
        raise ServerError.unreadable(request, response)

    def fault(self, account_sid: str | None) -> str | None:
        """Tell why this can't be the answer asked for, if so: a SID of the wrong kind, or another account's."""
        if not self.kinds:
            return None
        sid = self.get("sid")
        if not is_sid(sid, self.kinds):
            return f"has no {' or '.join(self.kinds)}… SID"
        owner = self.get("account_sid", account_sid)
        if account_sid and owner != account_sid:
            return f"belongs to account {owner!s:.34}, not {account_sid}"
        return None

    def __repr__(self) -> str:
        known = " ".join(str(self[key]) for key in ("sid", "status") if self.get(key))
        return f"<{type(self).__name__} {known}>" if known else f"<{type(self).__name__}>"

    __str__ = __repr__


def drop(values: Iterable[Any], secrets: frozenset[str]) -> None:
    """Drop secrets out of nested values."""
    for value in values:
        if isinstance(value, dict):
            for secret in secrets & value.keys():
                del value[secret]
            drop(value.values(), secrets)
        elif isinstance(value, list):
            drop(value, secrets)


@cache
def _sid() -> re.Pattern[str]:
    return re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def is_sid(value: object, kinds: Sequence[str] = ()) -> bool:
    """Tell whether a value is a Twilio SID, of one of these kinds if any are given."""
    return isinstance(value, str) and _sid().fullmatch(value) is not None and (not kinds or value[:2] in kinds)


# ---------------------------------------------------------------- lists


def whole(name: str, value: Any, least: int, most: int | None = None) -> int | None:
    """Read a whole number, also from the text that a template renders to."""
    if value is None or value is LATER:
        return None
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < least or (most and number > most):
        limits = f"a whole number from {least}" + (f" to {most}" if most else "")
        raise BadParameter(name, f"is {value!r}"[:40], f"give {limits}, or None")
    return number


class Listing(Generic[T]):
    """Describe a list that is followed to the end of its last page. Pure, comparable and picklable.

    :param path: as for :class:`Request`.
    :param record: what its items are.
    :param data: filters in Twilio's spelling.
    :param limit: how many records at the most; None for all.
    :param page_size: records a page, 1 to 1000; None for the largest.
    :param paged: False for the few lists that Twilio gives whole.
    """

    def __init__(
        self,
        path: str,
        record: type[T],
        data: tuple[tuple[str, str], ...] = (),
        limit: int | None = None,
        page_size: int | None = None,
        paged: bool = True,
    ) -> None:
        self.path = path
        self.record = record
        self.data = data
        self.limit = whole("limit", limit, 0)
        self.page_size = whole("page_size", page_size, 1, LARGEST_PAGE)
        self.paged = paged

    def but(self, **fields: Any) -> Listing[T]:
        """Give the same list with these fields instead."""
        return Listing(**{**vars(self), **fields})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def first(self) -> Request[Page[T]] | None:
        """Give the request for the first page; None if nothing is wanted."""
        if self.limit == 0:
            return None
        size = min(self.page_size or LARGEST_PAGE, self.limit or LARGEST_PAGE)
        paging = (("PageSize", str(size)),) if self.paged else ()
        return Request("GET", self.path, self, self.data + paging)

    def read(self, request: Request[Any], response: Response) -> Page[T]:
        """Read one page, of the 2010 API or of a newer one."""
        from airflow_provider_twilio.api.answers import Page

        body = response.json()
        if not isinstance(body, dict):
            raise ServerError.unreadable(request, response)
        items = self._items(body)
        if items is None:
            raise ServerError.unreadable(request, response, "an object without a list of records")
        make = cast("Callable[[Any], T]", self.record)
        records = [make(item) for item in items[: self.limit]]
        left = None if self.limit is None else self.limit - len(records)
        where = body.get("next_page_uri") or _meta(body).get("next_page_url")
        if not where or left == 0:
            return Page(records, None)
        return Page(records, self.but(limit=left)._following(request, str(where)))

    @staticmethod
    def _items(body: dict[str, Any]) -> list[Any] | None:
        key = _meta(body).get("key")
        lists = [value for name, value in body.items() if isinstance(value, list) and (not key or name == key)]
        if len(lists) != 1 or not all(isinstance(item, dict) for item in lists[0]):
            return None
        return lists[0]

    def _following(self, request: Request[Any], where: str) -> Request[Page[T]]:
        """Give the request for the next page, which must be on the same host: it will carry the credentials."""
        root, found, _ = request.template.partition(f"/{VERSION}/")
        relative = found and where.startswith(found)
        target = urlsplit(root + where if relative else urljoin(request.template, where))
        if not _same_host(urlsplit(request.template), target):
            raise TwilioError(
                f"{request}: the next page is on another host ({target.netloc or 'unknown'}); it was not asked for,"
                " since the request would carry the credentials there"
            )
        path = target._replace(query="", fragment="").geturl()
        return Request("GET", path, self, tuple(parse_qsl(target.query, keep_blank_values=True)))

    def __repr__(self) -> str:
        return f"<Listing of {self.record.__name__} at {mask(self.path)}>"


_TWILIO = r"([a-z0-9-]+)\.(?:[a-z0-9-]+\.)*twilio\.com"


def _same_host(here: SplitResult, there: SplitResult) -> bool:
    """Tell whether two addresses lead to the same host, which a region, an edge or a custom base may spell anew."""
    if (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return True
    product = re.fullmatch(_TWILIO, there.netloc)
    if product is None or there.scheme != "https":
        return False
    told = re.fullmatch(_TWILIO, here.netloc)
    return f"/{there.netloc}/" in here.path if told is None else told[1] == product[1] and here.scheme == "https"


def _meta(body: dict[str, Any]) -> dict[str, Any]:
    meta = body.get("meta")
    return meta if isinstance(meta, dict) else {}


# ---------------------------------------------------------------- operations


class Blocking(Protocol):
    """A client that returns when the answer is there."""

    def send(self, request: Request[T], /) -> T: ...
    def walk(self, listing: Listing[T], /) -> Iterator[T]: ...


class Awaiting(Protocol):
    """A client whose answers are awaited."""

    def send(self, request: Request[T], /) -> Awaitable[T]: ...
    def walk(self, listing: Listing[T], /) -> AsyncIterator[T]: ...


class Resource(Generic[C_co]):
    """Group the operations on one kind of thing; bound to a client, they run."""

    def __init__(self, client: C_co) -> None:
        self._client = client


class Definition:
    """Hold what an operation is: its function, and from the signature what is sent under which name.

    Every operation has one as soon as its module is imported, so all but the names is read when it is first used.

    :param function: checks its arguments and gives the Request, or Listing, but for the parameters that are sent.
    :param verb: what a client does with the result: ``send`` or ``walk``.
    """

    def __init__(self, function: Callable[..., Any], verb: Literal["send", "walk"]) -> None:
        self.function: Callable[..., Any] = getattr(function, "__func__", function)
        self.verb = verb
        written: Any = inspect.unwrap(self.function)
        code = written.__code__
        by_place, by_name = code.co_argcount, code.co_kwonlyargcount
        self.names: tuple[str, ...] = code.co_varnames[: by_place + by_name]
        self._optional = [name for name in self.names[by_place:] if name not in OURS]
        for name in self._optional:
            if (written.__kwdefaults__ or {}).get(name) is not None:
                raise TypeError(f"{self.function.__qualname__}: {name} is sent, so it may only default to None")

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    @cached_property
    def sent(self) -> Mapping[str, str]:
        """Each parameter that is sent, and Twilio's name of it."""
        return {name: spell(name) for name in self._optional}

    @cached_property
    def times(self) -> set[str]:
        """The parameters that are times or days."""
        return {name for name, parameter in self.parameters.items() if "date" in str(parameter.annotation)}

    @cached_property
    def build(self) -> Callable[..., Any]:
        """Check the arguments and build the value: what the operation gives when it is called on the class."""

        @wraps(self.function)
        def build(*args: Any, **kwargs: Any) -> Any:
            skeleton = self.function(*args, **kwargs)
            return skeleton.but(data=skeleton.data + self.pairs(kwargs))

        build.definition = self  # type: ignore[attr-defined]
        return build

    @cached_property
    def _method(self) -> Callable[..., Any]:
        build = self.build

        @wraps(self.function)
        def method(resource: Resource[Any], /, *args: Any, **kwargs: Any) -> Any:
            return self.run(resource._client, build(*args, **kwargs))

        resource = inspect.Parameter("resource", inspect.Parameter.POSITIONAL_ONLY)
        method.__signature__ = inspect.Signature([resource, *self.parameters.values()])  # type: ignore[attr-defined]
        return method

    def pairs(self, kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Write the arguments that are sent, in the order of the signature."""
        return tuple(
            [
                (self.sent[name], self._spelt(name, text))
                for name in self._optional
                if name in kwargs
                for text in wire_values(name, kwargs[name])
            ]
        )

    def _spelt(self, name: str, text: str) -> str:
        if name in ADDRESSES:
            return address_text(text)
        return utc_text(name, text) if name in self.times else text

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Run the operation's checks alone; what is not known yet is given as :data:`LATER`."""
        self.function(**arguments)

    def run(self, client: Any, value: Any) -> Any:
        """Let a client send the Request, or walk the Listing, that :meth:`build` gave."""
        return getattr(client, self.verb)(value)

    def bound(self, instance: Resource[Any] | None) -> Any:
        """Give the operation as it is read on a resource: on the class it builds, bound to a client it runs."""
        return self.build if instance is None else MethodType(self._method, instance)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return self.function.__qualname__


class operation(Generic[P, T]):  # noqa: N801 (a decorator reads as a word)
    """Make a Twilio operation of a function that checks its arguments and names the path.

    What stands before ``*`` in the signature goes into the path, by the function itself; what stands after it is sent
    under Twilio's names, None left out. The class gives a ``Request``; a resource bound to a client runs it.
    """

    def __init__(self, function: Callable[P, Request[T]]) -> None:
        self.definition = Definition(function, "send")

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[P, Request[T]]: ...
    @overload
    def __get__(self, instance: Resource[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Resource[Awaiting], owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type) -> Any:
        return self.definition.bound(instance)


class listing(Generic[P, T]):  # noqa: N801
    """Make a list operation of a function that checks its filters and names the path: the twin of :class:`operation`.

    The class gives a ``Listing``; bound to a client it gives an iterator over all pages, lazily, in constant memory.
    """

    def __init__(self, function: Callable[P, Listing[T]]) -> None:
        self.definition = Definition(function, "walk")

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[P, Listing[T]]: ...
    @overload
    def __get__(self, instance: Resource[Blocking], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Resource[Awaiting], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type) -> Any:
        return self.definition.bound(instance)


def definition(request: Callable[..., Any]) -> Definition:
    """Give the definition behind ``Messages.create`` and its like, as read on the class."""
    found = getattr(request, "definition", None)
    if not isinstance(found, Definition):
        raise TypeError(f"{request!r} is not an operation: give it as read on the class, such as Messages.create")
    return found

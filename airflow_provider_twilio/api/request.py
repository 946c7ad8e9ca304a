"""Requests to Twilio, as values."""

from __future__ import annotations

from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
)
from urllib.parse import quote, urlsplit

from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.api.response import Response

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

VERSION = "2010-04-01"


SMALLER_PAGES = (100, 20)
"""Page sizes to fall back to when Twilio fails on a larger page."""


# The ASCII characters that form encoding escapes: all but letters, digits and four punctuation characters.
_ESCAPES = {ord(character): quote(character, safe="") for character in map(chr, range(128))}


class ResponseParser(Protocol[T_co]):
    """Anything that can parse a response: a Record class, a Listing, or :class:`NoContent`."""

    def parse(self, request: Request[Any], response: Response) -> T_co: ...


class Request(NamedTuple, Generic[T]):
    """A request to Twilio. Comparable and picklable.

    :param method: HTTP method: GET, POST or DELETE; for other hosts any.
    :param path: Path below ``/2010-04-01/Accounts/{AccountSid}/``, from the root if it starts with ``/``, or URL on
        another host of Twilio. The client fills in ``{AccountSid}``.
    :param parser: Parser of the response.
    :param data: Form parameters, by Twilio's own names. For a GET, the query.
    :param json: JSON body, instead of a form.
    :param idempotent: Whether carrying the request out twice has the same effect as once. False for sending messages,
        placing calls, buying numbers and opening accounts.
    :param requires_one_of: Twilio's names of parameters of which one must be set when the request is sent. The
        connection may supply it.
    :param max_segments: Maximum number of segments of the body. The client rejects longer ones.
    """

    method: str
    path: str
    parser: ResponseParser[T]
    data: tuple[tuple[str, str], ...] = ()
    json: Any = None
    idempotent: bool = True
    requires_one_of: tuple[str, ...] = ()
    max_segments: int | None = None

    @property
    def is_safe(self) -> bool:
        """Whether the request only reads (a safe method, in HTTP)."""
        return self.method in ("GET", "HEAD")

    @property
    def template(self) -> str:
        """The path from the root, with ``{AccountSid}`` unfilled, or a URL on another host."""
        if self.path.startswith("/") or "://" in self.path:
            return self.path
        return f"/{VERSION}/Accounts/{{AccountSid}}/{self.path}"

    @property
    def is_incomplete(self) -> bool:
        """Whether the request lacks a required parameter."""
        for name, value in self.data:
            if value and name in self.requires_one_of:
                return False
        return bool(self.requires_one_of)

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter, by Twilio's name, or None."""
        for key, value in self.data:
            if key == name:
                return value
        return None

    def with_params(self, **values: str) -> Request[T]:
        """Return a copy in which these parameters, by Twilio's names, replace all values they had."""
        kept = tuple((name, value) for name, value in self.data if name not in values)
        return self.replace(data=kept + tuple(values.items()))

    def replace(self, **fields: Any) -> Request[T]:
        """Return a copy with other values for these fields."""
        return self._replace(**fields)

    def with_path(self, path: str) -> Request[T]:
        """Return a copy with another path. Faster than :meth:`replace`, for bulk sends."""
        return Request(self.method, path, *self[2:])

    def with_data(self, data: tuple[tuple[str, str], ...]) -> Request[T]:
        """Return a copy with other form parameters. Faster than :meth:`replace`, for bulk sends."""
        return Request(self.method, self.path, self.parser, data, *self[4:])

    def query(self) -> str:
        """Return the parameters as a form-encoded string."""
        return "&".join([f"{percent_encode(name)}={percent_encode(value)}" for name, value in self.data])

    def with_smaller_page(self) -> Request[T] | None:
        """Return a copy that requests a smaller page, or None at the minimum."""
        size = next((int(value) for name, value in self.data if name == "PageSize" and value.isdecimal()), 0)
        smaller = next((step for step in SMALLER_PAGES if step < size), None)
        return None if smaller is None else self.with_params(PageSize=str(smaller))

    def __str__(self) -> str:
        """Return the method and path, without parameters: they contain numbers and message texts."""
        return f"{self.method} {mask(urlsplit(self.template).path)}"

    def __repr__(self) -> str:
        return f"<Request {self}>"


@lru_cache(maxsize=256)
def percent_encode(text: str, safe: str = "") -> str:
    """Percent-encode a string for a form or a URL.

    Cached, because names, paths, senders and many message texts recur.
    """
    return text.translate(_ESCAPES) if text.isascii() and not safe else quote(text, safe=safe)


class NoContent:
    """The parser of responses without content, such as that to a DELETE."""

    @staticmethod
    def parse(request: Request[Any], response: Response) -> None:
        return None

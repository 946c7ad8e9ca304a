"""One request to Twilio, as a value."""

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


# What a form escapes of ASCII: all but letters, digits and four signs.
_ESCAPES = {ord(sign): quote(sign, safe="") for sign in map(chr, range(128))}


class ResponseParser(Protocol[T_co]):
    """Read an answer: a Record class, a Listing (which reads a page), or :class:`Nothing`."""

    def parse(self, request: Request[Any], response: Response) -> T_co: ...


class Request(NamedTuple, Generic[T]):
    """Describe one request to Twilio. Pure, comparable and picklable.

    :param method: GET, POST or DELETE (other methods for other hosts).
    :param path: below ``/2010-04-01/Accounts/{AccountSid}/``, or from the root if it starts with ``/``, or on another
        host of Twilio's if it starts with ``https://``. ``{AccountSid}`` is filled in by the client.
    :param answer: reads what comes back.
    :param data: form parameters (the query of a GET) in Twilio's spelling.
    :param json: a JSON body, instead of a form.
    :param idempotent: whether Twilio may see it twice without harm. Sending, dialling, buying and opening an account
        may not be repeated.
    :param needs: wire names of which one must be there when it is sent; the connection may supply them.
    :param max_segments: how many segments its body may have at the most; the client refuses more.
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
        """Whether it only reads."""
        return self.method in ("GET", "HEAD")

    @property
    def template(self) -> str:
        """The path from the root, ``{AccountSid}`` not filled in; a URL for another host."""
        if self.path.startswith("/") or "://" in self.path:
            return self.path
        return f"/{VERSION}/Accounts/{{AccountSid}}/{self.path}"

    @property
    def is_incomplete(self) -> bool:
        """Whether nothing of what it needs is there."""
        for name, value in self.data:
            if value and name in self.requires_one_of:
                return False
        return bool(self.requires_one_of)

    def get(self, name: str) -> str | None:
        """Give the first value of a parameter in Twilio's spelling."""
        for key, value in self.data:
            if key == name:
                return value
        return None

    def with_params(self, **values: str) -> Request[T]:
        """Give the same request with these parameters, in Twilio's spelling, in place of any there are."""
        kept = tuple((name, value) for name, value in self.data if name not in values)
        return self.replace(data=kept + tuple(values.items()))

    def replace(self, **fields: Any) -> Request[T]:
        """Give the same request with these fields instead."""
        return self._replace(**fields)

    # The two below are for what is sent many times: half as much work as ``but``.

    def with_path(self, path: str) -> Request[T]:
        """Give the same request to another path."""
        return Request(self.method, path, *self[2:])

    def with_data(self, data: tuple[tuple[str, str], ...]) -> Request[T]:
        """Give the same request with other form parameters."""
        return Request(self.method, self.path, self.parser, data, *self[4:])

    def query(self) -> str:
        return "&".join([f"{percent_encode(name)}={percent_encode(value)}" for name, value in self.data])

    def with_smaller_page(self) -> Request[T] | None:
        """Give the same page request for fewer records; None where there is no smaller one."""
        size = next((int(value) for name, value in self.data if name == "PageSize" and value.isdecimal()), 0)
        step = next((step for step in SMALLER_PAGES if step < size), None)
        return None if step is None else self.with_params(PageSize=str(step))

    def __str__(self) -> str:
        """Name the request without its parameters: they carry numbers and texts."""
        return f"{self.method} {mask(urlsplit(self.template).path)}"

    def __repr__(self) -> str:
        return f"<Request {self}>"


@lru_cache(maxsize=256)
def percent_encode(text: str, safe: str = "") -> str:
    """Write a text as a form or an address has it. Names, paths, senders and many texts come again and again."""
    return text.translate(_ESCAPES) if text.isascii() and not safe else quote(text, safe=safe)


class NoContent:
    """Read an answer that has no content, as that to a DELETE."""

    @staticmethod
    def parse(request: Request[Any], response: Response) -> None:
        return None

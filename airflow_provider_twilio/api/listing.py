"""Lists, which are followed page by page to the end of the last one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NamedTuple,
    TypeVar,
    cast,
)
from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.outcomes import error_for_unreadable
from airflow_provider_twilio.api.request import VERSION, Request
from airflow_provider_twilio.api.values import parse_int
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.api.response import Response

T = TypeVar("T")

MAX_PAGE_SIZE = 1000


class Page(NamedTuple, Generic[T]):
    """Hold one page of a list: its records, and the request for the next page, if there is one."""

    records: Sequence[T]
    next: Request[Page[T]] | None


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
        self.limit = parse_int("limit", limit, 0)
        self.page_size = parse_int("page_size", page_size, 1, MAX_PAGE_SIZE)
        self.paged = paged

    def replace(self, **fields: Any) -> Listing[T]:
        """Give the same list with these fields instead."""
        return Listing(**{**vars(self), **fields})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def first_page(self) -> Request[Page[T]] | None:
        """Give the request for the first page; None if nothing is wanted."""
        if self.limit == 0:
            return None
        size = min(self.page_size or MAX_PAGE_SIZE, self.limit or MAX_PAGE_SIZE)
        paging = (("PageSize", str(size)),) if self.paged else ()
        return Request("GET", self.path, self, self.data + paging)

    def parse(self, request: Request[Any], response: Response) -> Page[T]:
        """Read one page, of the 2010 API or of a newer one."""
        body = response.json()
        if not isinstance(body, dict):
            raise error_for_unreadable(request, response)
        items = self._items(body)
        if items is None:
            raise error_for_unreadable(request, response, "an object without a list of records")
        make = cast("Callable[[Any], T]", self.record)
        records = [make(item) for item in items[: self.limit]]
        left = None if self.limit is None else self.limit - len(records)
        where = body.get("next_page_uri") or _meta(body).get("next_page_url")
        if not where or left == 0:
            return Page(records, None)
        return Page(records, self.replace(limit=left)._next_page(request, str(where)))

    @staticmethod
    def _items(body: dict[str, Any]) -> list[Any] | None:
        key = _meta(body).get("key")
        lists = [value for name, value in body.items() if isinstance(value, list) and (not key or name == key)]
        if len(lists) != 1 or not all(isinstance(item, dict) for item in lists[0]):
            return None
        return lists[0]

    def _next_page(self, request: Request[Any], where: str) -> Request[Page[T]]:
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

"""Lists of records, which Twilio returns page by page."""

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
"""Maximum number of records per page."""


class Page(NamedTuple, Generic[T]):
    """A page of a list: its records, and the request for the next page, if any."""

    records: Sequence[T]
    next: Request[Page[T]] | None


class Listing(Generic[T]):
    """A list of records, as the requests for its pages. Comparable and picklable.

    :param path: Path of the list, as for :class:`Request`.
    :param record: Class of the records.
    :param data: Filters, by Twilio's own names.
    :param limit: Maximum number of records. None lists all.
    :param page_size: Records per page, 1 to 1,000. None for the maximum.
    :param paged: False for the few lists that Twilio returns in one response.
    :raises BadParameter: When ``limit`` or ``page_size`` is invalid.
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
        """Return a copy of the list with other values for these fields."""
        return Listing(**{**vars(self), **fields})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def first_page(self) -> Request[Page[T]] | None:
        """Return the request for the first page, or None if the limit is 0."""
        if self.limit == 0:
            return None
        size = min(self.page_size or MAX_PAGE_SIZE, self.limit or MAX_PAGE_SIZE)
        paging = (("PageSize", str(size)),) if self.paged else ()
        return Request("GET", self.path, self, self.data + paging)

    def parse(self, request: Request[Any], response: Response) -> Page[T]:
        """Parse a page in the format of the 2010 API or of a newer one.

        :raises ServerError: When the response is not a page of records.
        :raises TwilioError: When the next page is on another host.
        """
        body = response.json()
        if not isinstance(body, dict):
            raise error_for_unreadable(request, response)
        items = self._items(body)
        if items is None:
            raise error_for_unreadable(request, response, "an object without a list of records")
        make_record = cast("Callable[[Any], T]", self.record)
        records = [make_record(item) for item in items[: self.limit]]
        remaining = None if self.limit is None else self.limit - len(records)
        next_url = body.get("next_page_uri") or _meta(body).get("next_page_url")
        if not next_url or remaining == 0:
            return Page(records, None)
        return Page(records, self.replace(limit=remaining)._next_page(request, str(next_url)))

    @staticmethod
    def _items(body: dict[str, Any]) -> list[Any] | None:
        key = _meta(body).get("key")
        lists = [value for name, value in body.items() if isinstance(value, list) and (not key or name == key)]
        if len(lists) != 1 or not all(isinstance(item, dict) for item in lists[0]):
            return None
        return lists[0]

    def _next_page(self, request: Request[Any], next_url: str) -> Request[Page[T]]:
        """Return the request for the next page.

        The page must be on the same host, since the request carries the credentials.
        """
        root, prefix, _ = request.template.partition(f"/{VERSION}/")
        relative = prefix and next_url.startswith(prefix)
        target = urlsplit(root + next_url if relative else urljoin(request.template, next_url))
        if not _same_host(urlsplit(request.template), target):
            raise TwilioError(
                f"{request}: the next page is on another host ({target.netloc or 'unknown'}). It was not requested,"
                " because the request would send the credentials to that host"
            )
        path = target._replace(query="", fragment="").geturl()
        return Request("GET", path, self, tuple(parse_qsl(target.query, keep_blank_values=True)))

    def __repr__(self) -> str:
        return f"<Listing of {self.record.__name__} at {mask(self.path)}>"


_TWILIO_HOST = r"([a-z0-9-]+)\.(?:[a-z0-9-]+\.)*twilio\.com"


def _same_host(current: SplitResult, target: SplitResult) -> bool:
    """Return whether two URLs lead to the same host.

    Hosts of one Twilio product in different regions and edges count as the same.
    """
    if (current.scheme, current.netloc) == (target.scheme, target.netloc):
        return True
    target_product = re.fullmatch(_TWILIO_HOST, target.netloc)
    if target_product is None or target.scheme != "https":
        return False
    product = re.fullmatch(_TWILIO_HOST, current.netloc)
    if product is None:  # a custom base URL, which has the host of the product in its path
        return f"/{target.netloc}/" in current.path
    return product[1] == target_product[1] and current.scheme == "https"


def _meta(body: dict[str, Any]) -> dict[str, Any]:
    meta = body.get("meta")
    return meta if isinstance(meta, dict) else {}

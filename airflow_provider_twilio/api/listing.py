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


TOKEN_PAGING = frozenset({"nextToken", "next_token", "previousToken", "previous_token"})
"""Keys of ``meta`` in lists whose pages are requested by a token."""

UNKNOWN_PAGING = frozenset({"nextToken", "next_token", "nextPageToken", "next_page_token", "next", "pagination"})
"""Keys that paging of an unknown form may have outside ``meta``."""


class Page(NamedTuple, Generic[T]):
    """A page of a list: its records, and the request for the next page, if any."""

    records: Sequence[T]
    next: Request[Page[T]] | None


class Progress(NamedTuple):
    """Progress through the pages of a list, by Brent's algorithm: a page that recurs is detected in constant memory.

    :param landmark: Path and parameters of an earlier page, which no later page may have.
    :param distance: Number of pages since the landmark.
    :param stride: Number of pages after which the current page becomes the landmark.
    """

    landmark: tuple[str, tuple[tuple[str, str], ...]]
    distance: int = 0
    stride: int = 1

    def advance(self, page: tuple[str, tuple[tuple[str, str], ...]]) -> Progress | None:
        """Return the progress after a further page, or None if the page recurs."""
        if page == self.landmark:
            return None
        if self.distance + 1 == self.stride:
            return Progress(page, 0, self.stride * 2)
        return self._replace(distance=self.distance + 1)


class Listing(Generic[T]):
    """A list of records, as the requests for its pages. Comparable and picklable.

    :param path: Path of the list, as for :class:`Request`.
    :param record: Class of the records.
    :param data: Filters, by Twilio's own names.
    :param limit: Maximum number of records. None lists all.
    :param page_size: Records per page, 1 to 1,000. None for the maximum.
    :param paged: False for the few lists that Twilio returns in one response.
    :param progress: Progress through the pages, to detect pages that follow each other in a circle.
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
        progress: Progress | None = None,
    ) -> None:
        self.path = path
        self.record = record
        self.data = data
        self.limit = parse_int("limit", limit, 0)
        self.page_size = parse_int("page_size", page_size, 1, MAX_PAGE_SIZE)
        self.paged = paged
        self.progress = progress

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
        if remaining == 0:
            return Page(records, None)
        following = self._following(request, response, body)
        if following is None:
            return Page(records, None)
        return Page(records, self.replace(limit=remaining)._next_page(request, *following))

    def _following(
        self, request: Request[Any], response: Response, body: dict[str, Any]
    ) -> tuple[str, tuple[tuple[str, str], ...]] | None:
        """Return the path and parameters of the next page, or None if this page is the last.

        :raises ServerError: When the page does not state in a known form whether another one follows.
        """
        if body.get("meta") is None and "next_page_uri" not in body and not body.keys() & UNKNOWN_PAGING:
            return None
        paging = _meta(body)
        for container, key in ((body, "next_page_uri"), (paging, "next_page_url")):
            if key in container and isinstance(container[key], str | None):
                return self._following_url(request, container[key]) if container[key] else None
        token = paging.get("nextToken") or paging.get("next_token")
        if isinstance(token, str):
            kept = tuple(pair for pair in request.data if pair[0] not in ("PageToken", "Page"))
            return request.template, (*kept, ("PageToken", token))
        if token is None and paging.keys() & TOKEN_PAGING:
            return None
        raise error_for_unreadable(
            request, response, "a page that does not state in a known form whether another follows"
        )

    @staticmethod
    def _items(body: dict[str, Any]) -> list[Any] | None:
        key = _meta(body).get("key")
        lists = [value for name, value in body.items() if isinstance(value, list) and (not key or name == key)]
        if len(lists) != 1 or not all(isinstance(item, dict) for item in lists[0]):
            return None
        return lists[0]

    def _following_url(self, request: Request[Any], next_url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Return the path and parameters of the next page's URL.

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
        return target._replace(query="", fragment="").geturl(), tuple(parse_qsl(target.query, keep_blank_values=True))

    def _next_page(self, request: Request[Any], path: str, data: tuple[tuple[str, str], ...]) -> Request[Page[T]]:
        """Return the request for the next page.

        :raises TwilioError: When the page is one that has been read before, so that the list would never end.
        """
        current = self.progress or Progress((urlsplit(request.template).path, request.data))
        progress = current.advance((urlsplit(path).path, data))
        if progress is None:
            raise TwilioError(
                f"{request}: the next page is one that has been read already, so the list would never end. It was not"
                " requested"
            )
        return Request("GET", path, self.replace(progress=progress), data)

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

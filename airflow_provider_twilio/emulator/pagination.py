"""Lists, page by page.

https://www.twilio.com/docs/usage/twilios-response#response-formats-list-paging-information
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_twilio.emulator.params import DateRange
from airflow_provider_twilio.emulator.record_store import Rank, RecordStore, Stored
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response

R = TypeVar("R", bound=Stored)
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000
_TOKEN = struct.Struct(">dqbdq")
_PAGING_PARAMETERS = frozenset({"PageSize", "Page", "PageToken"})


def paginate(
    request: ApiRequest,
    key: str,
    store: RecordStore[R],
    filters: Sequence[Callable[[R], bool]],
    render: Callable[[R], dict[str, Any]],
    sort_key_range: DateRange | None = None,
    lookup: Mapping[str, Any] | None = None,
) -> Response:
    """Return one page of a list.

    The page token holds the end of the page and the time of the first page's request. So a record that was moved, added
    or deleted in the meantime neither hides another one nor is listed twice.

    :param key: The name of the list in the response.
    :param filters: The filters; a listed record passes all of them.
    :param render: Returns the JSON form of a record.
    :param sort_key_range: A filter on the sort key.
    :param lookup: Values of indexed attributes. The filters contain them too.
    """
    state = request.state
    size, page, token = page_parameters(request)
    store = store.lookup(size, **(lookup or {}))
    as_of, last_seq, after, is_backward = request.now - state.quirks.list_lag, state.last_seq, None, False
    if token is not None:
        as_of, last_seq, after, is_backward = _decode_token(token, request.now, state.quirks.page_token_life)

    def keep(record: R) -> bool:
        if record.seq > last_seq:
            return False
        return all(test(record) for test in filters)

    span = None if sort_key_range is None else (sort_key_range.start, sort_key_range.end)
    if is_backward and after is not None:
        before: deque[tuple[Rank, R]] = deque(maxlen=size)
        for pair in store.iter_newest(as_of, state.quirks.unsent, None, keep, span):
            if pair[0] <= after:
                break
            before.append(pair)
        found, has_more = list(before), True
    else:
        found = list(islice(store.iter_newest(as_of, state.quirks.unsent, after, keep, span), size + 1))
        has_more = len(found) > size
        del found[size:]
    next_token = _encode_token("PA", found[-1], as_of, last_seq) if has_more and found else None
    previous_token = _encode_token("PB", found[0], as_of, last_seq) if page > 0 and found else None
    records = [render(record) for _, record in found]
    return Response(page_body(request, key, records, size, page, next_token, previous_token))


def page_parameters(request: ApiRequest) -> tuple[int, int, str | None]:
    """Return PageSize, Page and PageToken.

    :raises ApiError: One of them is invalid.
    """
    given = request.query.text("PageSize") or str(DEFAULT_PAGE_SIZE)
    # Nine digits are enough: they are too large already.
    size = int(given.lstrip("0")[:9] or 0) if given.isascii() and given.isdigit() else 0
    if size < 1:
        raise ApiError(20001, f"Invalid PageSize {given[:20]}")
    if size > MAX_PAGE_SIZE:
        raise ApiError(20007, "Page size too large")
    number = request.query.text("Page") or "0"
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise ApiError(20001, "Invalid Page")
    token = request.query.text("PageToken")
    if int(number) >= 1 and token is None:
        raise ApiError(20001, "PageToken is required for paging.")
    return size, int(number), token


def page_body(
    request: ApiRequest,
    key: str,
    records: list[dict[str, Any]],
    size: int,
    page: int,
    next_token: str | None,
    previous_token: str | None,
) -> dict[str, Any]:
    """Return the body of a page.

    It has relative URIs, or ``meta`` with absolute URLs for a product API.
    """

    def uri_of(number: int, token: str | None) -> str:
        pairs = [pair for pair in request.query.pairs if pair[0] not in _PAGING_PARAMETERS]
        pairs += [("PageSize", str(size)), ("Page", str(number))]
        if token:
            pairs.append(("PageToken", token))
        return request.path + "?" + "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in pairs)

    uri = uri_of(page, request.query.text("PageToken") if page else None)
    first_uri = uri_of(0, None)
    next_uri = uri_of(page + 1, next_token) if next_token else None
    previous_uri = uri_of(page - 1, previous_token) if previous_token else None
    if request.is_product_api:
        root = request.base_url

        def absolute(uri: str | None) -> str | None:
            return None if uri is None else root + uri

        meta = {
            "page": page,
            "page_size": size,
            "first_page_url": absolute(first_uri),
            "previous_page_url": absolute(previous_uri),
            "url": absolute(uri),
            "next_page_url": absolute(next_uri),
            "key": key,
        }
        return {"meta": meta, key: records}
    start = page * size
    return {
        "first_page_uri": first_uri,
        "end": max(start + len(records) - 1, 0),
        "previous_page_uri": previous_uri,
        key: records,
        "uri": uri,
        "page_size": size,
        "start": start,
        "next_page_uri": next_uri,
        "page": page,
    }


def _encode_token(prefix: str, pair: tuple[Rank, Stored], as_of: float, last_seq: int) -> str:
    rank, record = pair
    return prefix + record.sid + _TOKEN.pack(as_of, last_seq, *rank).hex()


def _decode_token(token: str, now: float, lifetime: float | None) -> tuple[float, int, Rank, bool]:
    try:
        as_of, last_seq, section, sort_key, seq = _TOKEN.unpack(bytes.fromhex(token[36:]))
    except (ValueError, struct.error):
        raise ApiError(21481, "Invalid PageToken") from None
    if token[:2] not in ("PA", "PB") or as_of != as_of or sort_key != sort_key or as_of > now:
        raise ApiError(21481, "Invalid PageToken")
    if lifetime is not None and now - as_of > lifetime:
        raise ApiError(21481, "PageToken has expired")
    return as_of, last_seq, (section, sort_key, seq), token[:2] == "PB"

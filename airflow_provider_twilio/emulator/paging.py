"""Give lists page by page, as https://www.twilio.com/docs/usage/twilios-response#response-formats-list-paging-information."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow_provider_twilio.emulator.params import Window
from airflow_provider_twilio.emulator.shelf import Rank, Shelf, Shelved
from airflow_provider_twilio.emulator.wire import Answer, Refused

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.world import Call

R = TypeVar("R", bound=Shelved)
DEFAULT_SIZE, LARGEST = 50, 1000
_TOKEN = struct.Struct(">dqbdq")
_PAGING = frozenset({"PageSize", "Page", "PageToken"})


def paged(
    call: Call,
    key: str,
    shelf: Shelf[R],
    keep: Sequence[Callable[[R], bool]],
    render: Callable[[R], dict[str, Any]],
    span: Window | None = None,
    having: Mapping[str, Any] | None = None,
) -> Answer:
    """Answer with one page of a shelf.

    The token holds where the page ended and when the first page was asked for: what has moved, come or gone since
    neither hides a record nor shows one twice.

    :param key: the list's name in the answer.
    :param keep: the filters; a record is listed if all of them take it.
    :param span: a filter on what the shelf is sorted by.
    :param having: values of indexed attributes, among the filters too.
    """
    world = call.world
    size, page, token = read_paging(call)
    shelf = shelf.having(size, **(having or {}))
    asof, newest, after, back = call.now - world.quirks.list_lag, world.latest, None, False
    if token is not None:
        asof, newest, after, back = _read_token(token, call.now, world.quirks.page_token_life)

    def wanted(record: R) -> bool:
        if record.seq > newest:
            return False
        return all(test(record) for test in keep)

    limits = None if span is None else (span.least, span.most)
    if back and after is not None:
        before: deque[tuple[Rank, R]] = deque(maxlen=size)
        for pair in shelf.newest(asof, world.quirks.unsent, None, wanted, limits):
            if pair[0] <= after:
                break
            before.append(pair)
        found, more = list(before), True
    else:
        found = list(islice(shelf.newest(asof, world.quirks.unsent, after, wanted, limits), size + 1))
        more = len(found) > size
        del found[size:]
    following = _write_token("PA", found[-1], asof, newest) if more and found else None
    preceding = _write_token("PB", found[0], asof, newest) if page > 0 and found else None
    return Answer(envelope(call, key, [render(record) for _, record in found], size, page, following, preceding))


def read_paging(call: Call) -> tuple[int, int, str | None]:
    """Read PageSize, Page and PageToken, refused as Twilio does."""
    given = call.query.text("PageSize") or str(DEFAULT_SIZE)
    # What is cut off is too large all the same.
    size = int(given.lstrip("0")[:9] or 0) if given.isascii() and given.isdigit() else 0
    if size < 1:
        raise Refused(20001, f"Invalid PageSize {given[:20]}")
    if size > LARGEST:
        raise Refused(20007, "Page size too large")
    number = call.query.text("Page") or "0"
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise Refused(20001, "Invalid Page")
    token = call.query.text("PageToken")
    if int(number) >= 1 and token is None:
        raise Refused(20001, "PageToken is required for paging.")
    return size, int(number), token


def envelope(
    call: Call,
    key: str,
    records: list[dict[str, Any]],
    size: int,
    page: int,
    following: str | None,
    preceding: str | None,
) -> dict[str, Any]:
    """Wrap a page of records as the host at hand does: with relative URIs, or with ``meta`` and absolute URLs."""

    def at(number: int, token: str | None) -> str:
        pairs = [pair for pair in call.query.pairs if pair[0] not in _PAGING]
        pairs += [("PageSize", str(size)), ("Page", str(number))]
        if token:
            pairs.append(("PageToken", token))
        return call.path + "?" + "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in pairs)

    here = at(page, call.query.text("PageToken") if page else None)
    first = at(0, None)
    after = at(page + 1, following) if following else None
    before = at(page - 1, preceding) if preceding else None
    if call.product:
        root = call.base_url

        def url(uri: str | None) -> str | None:
            return None if uri is None else root + uri

        meta = {
            "page": page,
            "page_size": size,
            "first_page_url": url(first),
            "previous_page_url": url(before),
            "url": url(here),
            "next_page_url": url(after),
            "key": key,
        }
        return {"meta": meta, key: records}
    start = page * size
    return {
        "first_page_uri": first,
        "end": max(start + len(records) - 1, 0),
        "previous_page_uri": before,
        key: records,
        "uri": here,
        "page_size": size,
        "start": start,
        "next_page_uri": after,
        "page": page,
    }


def _write_token(kind: str, pair: tuple[Rank, Shelved], asof: float, newest: int) -> str:
    rank, record = pair
    return kind + record.sid + _TOKEN.pack(asof, newest, *rank).hex()


def _read_token(token: str, now: float, life: float | None) -> tuple[float, int, Rank, bool]:
    try:
        asof, newest, section, key, seq = _TOKEN.unpack(bytes.fromhex(token[36:]))
    except (ValueError, struct.error):
        raise Refused(21481, "Invalid PageToken") from None
    if token[:2] not in ("PA", "PB") or asof != asof or key != key or asof > now:
        raise Refused(21481, "Invalid PageToken")
    if life is not None and now - asof > life:
        raise Refused(21481, "PageToken has expired")
    return asof, newest, (section, key, seq), token[:2] == "PB"

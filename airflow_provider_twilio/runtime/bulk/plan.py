"""Make a message of each row: what is the same for all, what the row says of its own, and ``{name}`` in the texts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import checks, segments
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import MAX_BODY_LENGTH, Message, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED, wire_value
from airflow_provider_twilio.client.prepare import PreparedRequest, prepare, prepare_like
from airflow_provider_twilio.client.settings import Settings
from airflow_provider_twilio.runtime.bulk.rows import PLAIN_NUMBER, Row, SeenHashes, normalize_address

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.items import WorkItem

ROW_OVERRIDES = ("from_", "messaging_service_sid", "body", "media_url", "content_sid", "content_variables")
"""What a row may say of its own, under these names."""
FORMATTED_FIELDS = ("body", "media_url", "content_variables")
"""Where ``{name}`` stands for a row's value."""
SENT, DUPLICATE, FAULTY = range(3)
CREATE = definition(Messages.create)
MAX_REPORTED_ROWS = 20
"""So many of the rows that are refused are told one by one."""

_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}|\{([A-Za-z_]\w*[^\s{}\w][^{}]*)\}")


def placeholders(value: Any) -> set[str]:
    """Give the names in braces in a text, or in the texts of a list or mapping.

    :raises BadParameter: a name with an attribute, index or format behind it.
    """
    if isinstance(value, Mapping):
        return placeholders(list(value.values()))
    if isinstance(value, list | tuple):
        return {name for item in value for name in placeholders(item)}
    if not isinstance(value, str):
        return set()
    names = set()
    for found in _BRACES.finditer(value):
        if found[2]:
            raise BadParameter(
                "body", f"has {{{found[2][:20]}}}", "a placeholder is a plain name in braces, such as {name}"
            )
        if found[1]:
            names.add(found[1])
    return names


def format_fields(value: Any, row: Row) -> Any:
    """Put a row's values in place of the names in braces; ``{{`` and ``}}`` stand for braces themselves."""
    if isinstance(value, Mapping):
        return {key: format_fields(item, row) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [format_fields(item, row) for item in value]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][:1]
        held = row.get(found[1])
        if held is None:
            raise BadParameter(
                "body",
                f"names {{{found[1]}}}, which the row has not",
                f"give the value, or mend the name; the row has {', '.join(map(str, row))}"[:300],
            )
        return str(held)

    return _BRACES.sub(one, value)


def _mapping(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadParameter(
            "content_variables", "is not JSON", 'give a mapping, or JSON such as {"1": "{name}"}'
        ) from None


@dataclass(slots=True)
class PlannedMessage:
    """Hold what is to be done about a row.

    :param number: the row's, from 1.
    :param to: its number or address, as it was given if nothing can be made of it.
    :param request: The request to send; None if nothing is sent.
    :param fault: why nothing is sent; None for a duplicate.
    """

    number: int
    to: str
    request: PreparedRequest[Message] | None = None
    segments: int = 0
    fault: BadParameter | None = None

    @property
    def sender(self) -> str:
        """Whose pace it counts to."""
        request = self.request
        return "" if request is None else request.get("From") or request.get("MessagingServiceSid") or ""


class MessagePlan:
    """Turn rows into messages, the same ones each time they are read.

    :param options: the arguments of :meth:`Messages.create` that all rows share, but for ``to``.
    :param settings: the connection's: what it supplies, and what it forbids.
    :param column: where a row has its number or address.
    :param one_per_recipient: send only the first message to each number, also where a later one says something else.
    """

    def __init__(
        self, options: Mapping[str, Any], settings: Settings, *, column: str = "to", one_per_recipient: bool = False
    ) -> None:
        self._options = {name: value for name, value in options.items() if value is not None}
        self._settings, self._column, self._one_per_recipient = settings, column, one_per_recipient
        variables, body = self._options.get("content_variables"), self._options.get("body")
        if isinstance(variables, str) and placeholders(variables):
            self._options["content_variables"] = _mapping(variables)  # a value put into it may hold quotes
        self._formatted = [name for name in FORMATTED_FIELDS if placeholders(self._options.get(name))]
        if isinstance(body, str) and ("{{" in body or "}}" in body) and "body" not in self._formatted:
            self._formatted.append("body")
        self._smart = bool(self._options.get("smart_encoded"))
        self._last = ("", 1)
        self._templates: dict[bool, PreparedRequest[Message]] = {}  # True: of a row with a text of its own

    def __call__(self, rows: Iterable[Row], verdicts: bytearray | None = None) -> Iterator[PlannedMessage]:
        """Plan row by row, lazily. The same message to the same number is planned once.

        :param verdicts: what :func:`preflight` found of each row, so that it need not be found again.
        """
        seen = SeenHashes()
        for number, row in enumerate(rows, 1):
            planned = self._plan_row(number, row, verdicts)
            if verdicts is None and planned.request is not None and not seen.add(self._hash(planned)):
                planned.request, planned.segments = None, 0
            yield planned

    async def items(self, rows: Iterable[Row], verdicts: bytearray) -> AsyncIterator[WorkItem]:
        """Give the messages to send, each with its row's number, as the rows are read.

        :param verdicts: what :func:`preflight` found of each row.
        """
        from airflow_provider_twilio.runtime.bulk.items import WorkItem
        from airflow_provider_twilio.runtime.bulk.source import read_in_thread

        number = 0
        async for some in read_in_thread(rows):
            for row in some:
                number += 1
                one = self._plan_row(number, row, verdicts)
                if one.request is not None:
                    yield WorkItem(one.request.request, one.number, float(one.segments), one.sender, one.request)

        if number < len(verdicts):
            raise _changed()

    def _plan_row(self, number: int, row: Row, verdicts: bytearray | None) -> PlannedMessage:
        if verdicts is not None and number > len(verdicts):
            raise _changed()
        known = None if verdicts is None else verdicts[number - 1]
        planned = PlannedMessage(number, str(row.get(self._column) or ""))
        try:
            planned.to = normalize_address(row.get(self._column), known in (SENT, DUPLICATE))
            if known != DUPLICATE:
                planned.request = self._request(planned.to, row)
                planned.segments = self._segments(planned.request)
        except BadParameter as error:
            planned.fault = error
        return planned

    def _hash(self, planned: PlannedMessage) -> int:
        data: Any = planned.to if self._one_per_recipient or planned.request is None else planned.request.data
        digest = hashlib.blake2b(repr(data).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest)

    def _request(self, to: str, row: Row) -> PreparedRequest[Message]:
        own = {name: row[name] for name in ROW_OVERRIDES if row.get(name) not in (None, "")} if len(row) > 1 else {}
        for name in self._formatted:
            if name not in own:
                own[name] = format_fields(self._options[name], row)
        text = own.get("body")
        simple = text is None or (isinstance(text, str) and text != "")
        usual = simple and own.keys() <= {"body"} and PLAIN_NUMBER.fullmatch(to) is not None
        if usual and (like := self._templates.get(text is not None)) is not None:
            return self._from_template(like, to, text)
        options = {**self._options, **own, "to": to}
        # Whether send_at is still ahead is checked once, by who begins: a later try goes on with what was begun.
        timeless = {**options, "send_at": UNRESOLVED} if "send_at" in options else options
        request: Request[Message] = CREATE.function(**timeless)
        request = request.replace(data=CREATE.form_data(options))
        prepared = prepare(self._settings, request)
        if usual:
            self._templates[text is not None] = prepared
        return prepared

    def _from_template(self, like: PreparedRequest[Message], to: str, text: Any) -> PreparedRequest[Message]:
        """Give the same request with another number, and text if it has its own: most rows have no more to check."""
        changed = {"To": to}
        if text is not None:
            checks.max_length("body", text, MAX_BODY_LENGTH)
            changed["Body"] = wire_value("body", text)
        data = tuple([(name, changed.get(name, value)) for name, value in like.request.data])
        return prepare_like(self._settings, like, data)

    def _segments(self, request: PreparedRequest[Message]) -> int:
        body = request.get("Body")
        if body is None:
            return 1
        if body != self._last[0]:
            self._last = body, segments.count(body, self._smart).segments
        return self._last[1]


def _changed() -> BadParameter:
    return BadParameter(
        "recipients", "has more or fewer rows than when it was checked", "give a file that nobody writes to meanwhile"
    )


@dataclass(slots=True)
class Preflight:
    """Hold what was found out about all rows before the first message."""

    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    invalid: int = 0
    segments: int = 0
    of_sender: dict[str, int] = field(default_factory=dict)
    verdicts: bytearray = field(default_factory=bytearray)
    """What was found of each row, a byte each."""
    faults: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    many_too_long: int = 0


def preflight(planned: Iterable[PlannedMessage]) -> Preflight:
    """Go through all rows, and count."""
    found = Preflight()
    for one in planned:
        found.rows += 1
        found.verdicts.append(SENT if one.request is not None else DUPLICATE if one.fault is None else FAULTY)
        if one.request is not None:
            found.messages += 1
            found.segments += one.segments
            found.of_sender[one.sender] = found.of_sender.get(one.sender, 0) + one.segments
        elif one.fault is None:
            found.duplicates += 1
        else:
            found.invalid += 1
            told = f"row {one.number}: {one.fault}"
            if "max_segments" in str(one.fault):
                found.many_too_long += 1
                _note(found.too_long, told)
            _note(found.faults, told)
    return found


def _note(told: list[str], line: str) -> None:
    if len(told) < MAX_REPORTED_ROWS:
        told.append(line)


def raise_for_preflight(found: Preflight, max_failures: int | None) -> None:
    """Refuse to send at all, naming the rows, before the first message.

    :raises BadParameter: there is nobody; no row can be sent; more can't be than may fail; or one is too dear.
    """
    if not found.rows:
        raise BadParameter("recipients", "is empty", "give at least one")
    if found.many_too_long:
        raise _preflight_error(found.many_too_long, found.too_long, "too long", "shorten them")
    if found.invalid == found.rows:
        raise _preflight_error(found.invalid, found.faults, "that can't be sent, which are all", "mend them")
    if max_failures is not None and found.invalid > max_failures:
        raise _preflight_error(
            found.invalid,
            found.faults,
            "that can't be sent",
            f"mend them, or raise max_failures, which allows {max_failures}",
        )


def _preflight_error(count: int, told: list[str], what: str, remedy: str) -> BadParameter:
    further = f"; and {count - len(told)} more" if count > len(told) else ""
    return BadParameter(
        "recipients", f"has {count} rows {what}: {'; '.join(told)}{further}", f"{remedy}; nothing was sent"
    )

"""The message of each row, and the checks of all rows before the first message is sent.

A message combines the task's options, the overrides of its row, and the row's values in place of ``{name}``.
"""

from __future__ import annotations

import hashlib
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
from airflow_provider_twilio.runtime.bulk.placeholders import (
    OnMissing,
    PlaceholderFiller,
    find_names,
    has_braces,
    is_missing,
    parse_variables,
)
from airflow_provider_twilio.runtime.bulk.rows import PLAIN_NUMBER, Row, SeenHashes, normalize_address

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.items import WorkItem

ROW_OVERRIDES = ("from_", "messaging_service_sid", "body", "media_url", "content_sid", "content_variables")
"""Options that a row can override, in columns of these names."""
FORMATTED_FIELDS = ("body", "media_url", "content_variables")
"""Options in which ``{name}`` is replaced by a row's value."""
SENT, DUPLICATE, FAULTY = range(3)
"""Verdicts of :func:`preflight` on a row."""
CREATE = definition(Messages.create)
MAX_REPORTED_ROWS = 20
"""Maximum number of invalid rows that are reported one by one."""


@dataclass(slots=True)
class PlannedMessage:
    """The message of a row.

    :param number: Number of the row, from 1.
    :param to: Address of the recipient; as the row has it if it is invalid.
    :param request: Request to send; None if no message is sent to this row.
    :param segments: Number of segments of the message.
    :param fault: Error that makes the row invalid. A duplicate has neither a request nor a fault.
    """

    number: int
    to: str
    request: PreparedRequest[Message] | None = None
    segments: int = 0
    fault: BadParameter | None = None

    @property
    def sender(self) -> str:
        """Sender whose rate limit applies to the message."""
        request = self.request
        return "" if request is None else request.get("From") or request.get("MessagingServiceSid") or ""


class MessagePlan:
    """The rules that turn rows into messages. The same rows give the same messages each time.

    :param options: Arguments of :meth:`Messages.create` that all rows share, without ``to``.
    :param settings: Settings of the connection, which supplies a default sender and restricts recipients.
    :param column: Column of the number or address.
    :param one_per_recipient: Whether to send only the first message to each address, even if later ones differ.
    :param on_missing: Whether a row without a value for a placeholder is ``invalid``, or the placeholder ``empty``.
    :raises BadParameter: If an option has a brace without its counterpart, or content variables that are not JSON.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        settings: Settings,
        *,
        column: str = "to",
        one_per_recipient: bool = False,
        on_missing: OnMissing = "invalid",
    ) -> None:
        self._options = {name: value for name, value in options.items() if value is not None}
        self._settings, self._column, self._one_per_recipient = settings, column, one_per_recipient
        self._filler = PlaceholderFiller(on_missing)
        variables = parse_variables(self._options.get("content_variables"))
        if has_braces(variables):
            self._options["content_variables"] = variables
        self._formatted = [name for name in FORMATTED_FIELDS if has_braces(self._options.get(name))]
        for name in self._formatted:
            find_names(name, self._options[name])
        self._smart_encoded = bool(self._options.get("smart_encoded"))
        self._last_counted = ("", 1)  # the last body, and its segments
        self._templates: dict[bool, PreparedRequest[Message]] = {}  # by whether the row has a body of its own

    def __call__(self, rows: Iterable[Row], verdicts: bytearray | None = None) -> Iterator[PlannedMessage]:
        """Yield the message of each row. The same message to the same address is planned once.

        :param verdicts: The verdicts of an earlier :func:`preflight`, which save repeating its checks.
        :raises BadParameter: If a placeholder is no column of any row, and was to be left empty.
        """
        seen = SeenHashes()
        self._filler.start()
        for number, row in enumerate(rows, 1):
            planned = self._plan_row(number, row, verdicts)
            if verdicts is None and planned.request is not None and not seen.add(self._hash(planned)):
                planned.request, planned.segments = None, 0
            yield planned
        if verdicts is None:
            self._filler.check_columns()

    async def items(self, rows: Iterable[Row], verdicts: bytearray) -> AsyncIterator[WorkItem]:
        """Yield the messages to send as the rows are read. The key of an item is the number of its row.

        :param verdicts: The verdicts of :func:`preflight`.
        :raises BadParameter: If the number of rows has changed since then.
        """
        from airflow_provider_twilio.runtime.bulk.items import WorkItem
        from airflow_provider_twilio.runtime.bulk.source import read_in_thread

        number = 0
        async for batch in read_in_thread(rows):
            for row in batch:
                number += 1
                message = self._plan_row(number, row, verdicts)
                if message.request is not None:
                    prepared = message.request
                    yield WorkItem(prepared.request, number, float(message.segments), message.sender, prepared)
        if number < len(verdicts):
            raise _rows_changed()

    def _plan_row(self, number: int, row: Row, verdicts: bytearray | None) -> PlannedMessage:
        if verdicts is not None and number > len(verdicts):
            raise _rows_changed()
        verdict = None if verdicts is None else verdicts[number - 1]
        address = row.get(self._column)
        planned = PlannedMessage(number, "" if is_missing(address) else str(address))
        try:
            planned.to = normalize_address(address, checked=verdict in (SENT, DUPLICATE))
            if verdict != DUPLICATE:
                planned.request = self._request(planned.to, row)
                planned.segments = self._segments(planned.request)
        except BadParameter as error:
            planned.fault = error
        return planned

    def _hash(self, planned: PlannedMessage) -> int:
        """Return the hash that two rows share if the second one is a duplicate."""
        data: Any = planned.to if self._one_per_recipient or planned.request is None else planned.request.data
        digest = hashlib.blake2b(repr(data).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest)

    def _request(self, to: str, row: Row) -> PreparedRequest[Message]:
        """Return the request of a row, built from a template where possible."""
        overrides = {}
        self._filler.add_columns(row)
        if len(row) > 1:
            overrides = {name: row[name] for name in ROW_OVERRIDES if not is_missing(row.get(name))}
        for name in FORMATTED_FIELDS:
            if name in overrides:
                own = parse_variables(overrides[name]) if name == "content_variables" else overrides[name]
                if has_braces(own):
                    overrides[name] = self._filler.fill(name, own, row, is_own=True)
            elif name in self._formatted:
                overrides[name] = self._filler.fill(name, self._options[name], row)
        body = overrides.get("body")
        has_plain_body = body is None or (isinstance(body, str) and body != "")
        fits_template = has_plain_body and overrides.keys() <= {"body"} and PLAIN_NUMBER.fullmatch(to) is not None
        if fits_template and (template := self._templates.get(body is not None)) is not None:
            return self._from_template(template, to, body)
        options = {**self._options, **overrides, "to": to}
        # The first try has checked that send_at is in the future. A later try sends the remaining messages regardless.
        timeless = {**options, "send_at": UNRESOLVED} if "send_at" in options else options
        request: Request[Message] = CREATE.function(**timeless)
        prepared = prepare(self._settings, request.replace(data=CREATE.form_data(options)))
        if fits_template:
            self._templates[body is not None] = prepared
        return prepared

    def _from_template(self, template: PreparedRequest[Message], to: str, body: Any) -> PreparedRequest[Message]:
        """Return a template with another number, and with another body unless that is None."""
        changes = {"To": to}
        if body is not None:
            checks.max_length("body", body, MAX_BODY_LENGTH)
            changes["Body"] = wire_value("body", body)
        data = tuple([(name, changes.get(name, value)) for name, value in template.request.data])
        return prepare_like(self._settings, template, data)

    def _segments(self, request: PreparedRequest[Message]) -> int:
        body = request.get("Body")
        if body is None:
            return 1
        if body != self._last_counted[0]:
            self._last_counted = body, segments.count(body, self._smart_encoded).segments
        return self._last_counted[1]


def _rows_changed() -> BadParameter:
    return BadParameter(
        "recipients",
        "has more or fewer rows than when it was checked",
        "pass a file that is not written to while it is read",
    )


@dataclass(slots=True)
class Preflight:
    """The result of checking all rows before the first message is sent."""

    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    invalid: int = 0
    segments: int = 0
    segments_by_sender: dict[str, int] = field(default_factory=dict)
    verdicts: bytearray = field(default_factory=bytearray)
    """The verdict on each row, in one byte."""
    faults: list[str] = field(default_factory=list)
    """Descriptions of the first invalid rows."""
    too_long: int = 0
    """Number of rows whose message exceeds ``max_segments``; they count as invalid too."""
    too_long_faults: list[str] = field(default_factory=list)
    """Descriptions of the first of them."""


def preflight(planned: Iterable[PlannedMessage]) -> Preflight:
    """Check the messages of all rows, and count them."""
    checked = Preflight()
    for message in planned:
        checked.rows += 1
        if message.request is not None:
            checked.verdicts.append(SENT)
            checked.messages += 1
            checked.segments += message.segments
            sender = message.sender
            checked.segments_by_sender[sender] = checked.segments_by_sender.get(sender, 0) + message.segments
        elif message.fault is None:
            checked.verdicts.append(DUPLICATE)
            checked.duplicates += 1
        else:
            checked.verdicts.append(FAULTY)
            checked.invalid += 1
            fault = f"row {message.number}: {message.fault}"
            if "max_segments" in str(message.fault):
                checked.too_long += 1
                _add_fault(checked.too_long_faults, fault)
            _add_fault(checked.faults, fault)
    return checked


def _add_fault(faults: list[str], fault: str) -> None:
    if len(faults) < MAX_REPORTED_ROWS:
        faults.append(fault)


def raise_for_preflight(checked: Preflight, max_failures: int | None) -> None:
    """Raise an error that names the invalid rows, if they prevent the whole send.

    :param max_failures: Number of rows that may fail; None for any number.
    :raises BadParameter: If there is no row, no valid row, more invalid rows than ``max_failures``, or a message that
        exceeds ``max_segments``.
    """
    if not checked.rows:
        raise BadParameter("recipients", "is empty", "pass at least one")
    if checked.too_long:
        problem = f"has {_count_rows(checked.too_long)} with too many segments"
        raise _preflight_error(problem, checked.too_long, checked.too_long_faults, "shorten them")
    if checked.invalid == checked.rows:
        raise _preflight_error("has no valid row", checked.invalid, checked.faults, "correct them")
    if max_failures is not None and checked.invalid > max_failures:
        remedy = f"correct them, or raise max_failures, which allows {max_failures}"
        problem = f"has {_count_rows(checked.invalid, 'invalid ')}"
        raise _preflight_error(problem, checked.invalid, checked.faults, remedy)


def _count_rows(count: int, adjective: str = "") -> str:
    return f"{count} {adjective}row" + ("" if count == 1 else "s")


def _preflight_error(problem: str, count: int, faults: list[str], remedy: str) -> BadParameter:
    further = f"; and {count - len(faults)} more" if count > len(faults) else ""
    return BadParameter("recipients", f"{problem}: {'; '.join(faults)}{further}", f"{remedy}. No message was sent")

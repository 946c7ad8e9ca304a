"""Dry runs: the log line and the record that a connection with ``dry_run`` has instead of a request."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import NoContent
from airflow_provider_twilio.client.prepare import PreparedRequest
from airflow_provider_twilio.client.settings import Settings
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.privacy import mask

log = logging.getLogger(__name__)


def dry_run_record(settings: Settings, request: PreparedRequest[Any]) -> Any:
    """Log a request that is not sent, and return a record in place of its response.

    Return None if the response would have no content. The record's ``sid`` is None, and its ``status`` is ``dry-run``.
    The record has those parameters of the request that are also fields of the record. Others, such as passwords, are
    left out.
    """
    if request.parser is NoContent:
        log.info("Dry run, not sent: %s", request)
        return None
    parser: Any = request.parser
    record_type: type[Record] = parser if isinstance(parser, type) and issubclass(parser, Record) else Record
    values = {name: value for name, value in _values(request) if _is_shown(record_type, name)}
    values |= {"sid": None, "account_sid": settings.account_sid, "status": DRY_RUN}
    body = values.get("body")
    if isinstance(body, str):
        from airflow_provider_twilio.api import segments

        values["num_segments"] = str(segments.count(body, request.get("SmartEncoded") == "true").segments)
    log.info(
        "Dry run, not sent: %s to %s, segments: %s, parameters: %s",
        request,
        mask(str(values.get("to", "no recipient"))),
        values.get("num_segments", "none"),
        ", ".join(dict.fromkeys(name for name, _ in request.data)) or "none",
    )
    return record_type(values)


def _is_shown(record_type: type[Record], name: str) -> bool:
    if record_type is Record:  # The response of a raw request: its fields are unknown.
        return not any(word in name for word in ("password", "token", "secret", "twiml"))
    return any(isinstance(field, Field) and field.name == name for field in vars(record_type).values())


def _values(request: PreparedRequest[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(request.json, dict):
        yield from request.json.items()
    for name in dict.fromkeys(name for name, _ in request.data):
        values = [value for key, value in request.data if key == name]
        yield re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), values[0] if len(values) == 1 else values

"""What a request that isn't sent would have been: the answer of a connection with ``dry_run``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.client.settings import Settings
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.privacy import mask

log = logging.getLogger(__name__)


def dry_run_record(settings: Settings, request: Request[Any]) -> Any:
    """Log a resolved request, and give the record it stands for: ``status`` is ``dry-run``, ``sid`` is None.

    The request's own values stand under the names that Twilio's records have for them; others, among them passwords,
    are left out. None for what has no answer.
    """
    if request.parser is NoContent:
        log.info("Dry run, not sent: %s", request)
        return None
    reader: Any = request.parser
    make: type[Record] = reader if isinstance(reader, type) and issubclass(reader, Record) else Record
    values = {name: value for name, value in _values(request) if _shown(make, name)}
    values |= {"sid": None, "account_sid": settings.account_sid, "status": DRY_RUN}
    body = values.get("body")
    if isinstance(body, str):
        from airflow_provider_twilio.api import segments

        values["num_segments"] = str(segments.count(body, request.get("SmartEncoded") == "true").segments)
    log.info(
        "Dry run, not sent: %s to %s, segments: %s, parameters: %s",
        request,
        mask(str(values.get("to", "nobody"))),
        values.get("num_segments", "none"),
        ", ".join(dict.fromkeys(name for name, _ in request.data)) or "none",
    )
    return make(values)


def _shown(make: type[Record], name: str) -> bool:
    if make is Record:  # of any other operation: nothing is known of its fields
        return not any(word in name for word in ("password", "token", "secret", "twiml"))
    return any(isinstance(field, Field) and field.name == name for field in vars(make).values())


def _values(request: Request[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(request.json, dict):
        yield from request.json.items()
    for name in dict.fromkeys(name for name, _ in request.data):
        values = [value for key, value in request.data if key == name]
        yield re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), values[0] if len(values) == 1 else values

"""Guards: limits of the connection and of a request that are checked before the request is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import address_text
from airflow_provider_twilio.privacy import mask


def check_recipients(request: Request[Any], allowed: Sequence[str]) -> None:
    """Check that each recipient of a request is allowed.

    :param allowed: Prefixes in E.164 (``+1415``), or patterns with ``*`` (``client:test-*``). The channel of an address
        (``whatsapp:``) may be left out. Empty to allow all recipients.
    :raises BadParameter: If the request names another recipient, or one of its values cannot be searched.
    """
    if not allowed:
        return
    from airflow_provider_twilio.client.addresses import addresses  # Needed only if the connection has the list.

    for parameter, address in addresses(request):
        if not any(_matches(address, entry) for entry in allowed):
            raise BadParameter(
                "to" if parameter.lower() == "to" else parameter,
                f"({mask(address)}) is not among the connection's allowed_recipients",
                "add it there, or use another connection; no request was sent",
            )


def check_segments(request: Request[Any]) -> None:
    """Check that the body has no more segments than the request allows.

    :raises BadParameter: If it has more. The message names the characters that require UCS-2.
    """
    if request.max_segments is None or not (body := request.get("Body")):
        return
    from airflow_provider_twilio.api import segments

    counted = segments.count(body, request.get("SmartEncoded") == "true")
    if counted.segments > request.max_segments:
        offending = "".join(dict.fromkeys(counted.offending))[:20]
        reason = f", since {offending!r} is not in GSM-7" if offending else ""
        raise BadParameter(
            "body",
            f"has {counted.segments} segments in {counted.encoding}{reason}",
            f"shorten it to max_segments={request.max_segments}; no message was sent",
        )


def _matches(address: str, entry: str) -> bool:
    address, entry = address_text(address), address_text(entry)
    number = address.split(":", 1)[-1]
    if re.fullmatch(r"\+[0-9]*", entry):
        return re.fullmatch(r"\+[0-9]+", number) is not None and number.startswith(entry)
    return fnmatchcase(address, entry) or fnmatchcase(number, entry)

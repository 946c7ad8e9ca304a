"""Outcomes of requests: the error for a response or its absence, and retryability."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    NotSent,
    OptedOut,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    ServerError,
    TwilioError,
)
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.api.error_body import ErrorBody
    from airflow_provider_twilio.api.request import Request
    from airflow_provider_twilio.api.response import Response

GATEWAY_STATUSES = frozenset({302, 303, 307, 407, 408, 421, 425})
"""Statuses of a failure on the way to Twilio: redirects, proxy login, timeout, misdirected, too early."""

PAGE_STATUSES = frozenset({401, 403, 404, 405, 410, 451})
"""Statuses that come from a proxy or gateway if the body is a page for people."""

MAX_QUOTED_MESSAGE = 500
"""Maximum number of characters to quote from Twilio's own message."""


def _describe(request: Request[Any], response: Response, event: str) -> str:
    request_id = f" (request {response.request_id})" if response.request_id else ""
    return f"{request}: Twilio {event}{request_id}"


def error_for_unreadable(request: Request[Any], response: Response, shape: str | None = None) -> TwilioError:
    """Return the error for a response whose body cannot be parsed.

    The outcome of a request that is not idempotent is then unknown.

    :param shape: Description of the body, instead of the one derived from its first bytes.
    """
    error_type = ServerError if request.idempotent else OutcomeUnknown
    expected = "JSON" if shape is None and response.json() is None else "JSON of the expected structure"
    return error_type(
        _describe(
            request, response, f"responded {response.status} with {shape or response.shape()} instead of {expected}"
        ),
        status=response.status,
        request_id=response.request_id,
    )


def error_from_response(request: Request[Any], response: Response, conn_id: str = "") -> TwilioError | None:
    """Return the error that a response stands for, or None for a success.

    :param conn_id: Airflow connection whose credentials the request carried, to name in authentication errors.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    from airflow_provider_twilio.api.error_body import parse_error_body  # Not needed to import a DAG file.

    body = parse_error_body(response)
    code = body.code
    attributes: dict[str, Any] = {
        "code": code,
        "status": status,
        "request_id": response.request_id,
        "retry_after": retry_after(response.headers.get("retry-after")),
    }
    message = mask(" ".join(body.message.split()) or response.shape())[:MAX_QUOTED_MESSAGE].rstrip(".")
    if _is_from_gateway(response, body):
        gateway_error = ServerError if request.idempotent else OutcomeUnknown
        text = (
            f"responded {status} with {message}, which is not an error of Twilio's API but of a proxy or gateway: check"
            " the connection's host and proxy"
        )
        return gateway_error(_describe(request, response, text), **attributes)
    text = f"rejected it with {status}" + (f", code {code}: " if code else ": ") + message
    if code:
        text += f". See {codes.page(code)}"
    if remedy := codes.REMEDIES.get(code or 0):
        text += f". {remedy}"
    error_type = _error_type(request, status, code)
    if error_type is InvalidRequest and request.method == "DELETE" and "/IncomingPhoneNumbers/" in request.template:
        text += (
            ". If the number has an emergency address, unregister it first: update the number with"
            " emergency_address_sid='', and release it when its emergency_address_status is unregistered"
        )
    if error_type is AuthenticationFailed and conn_id:
        text += f". The credentials are those of the connection {conn_id}"
    return error_type(_describe(request, response, text), **attributes)


def _is_from_gateway(response: Response, body: ErrorBody) -> bool:
    """Return whether a proxy, gateway or load balancer has answered, instead of Twilio's API.

    Its rejection says nothing about the request, so it must not count as a permanent error or a missing record.
    """
    if response.status in GATEWAY_STATUSES:
        return body.code is None
    return response.status in PAGE_STATUSES and body.is_page and response.request_id is None


def _error_type(request: Request[Any], status: int, code: int | None) -> type[TwilioError]:
    if status == 429 and code not in codes.CAPS:
        return RateLimited
    if status >= 500 or status in GATEWAY_STATUSES:
        return ServerError if request.idempotent else OutcomeUnknown
    if code in codes.OPTED_OUT:
        return OptedOut
    if code in codes.RETRY_LATER:
        return RateLimited
    if code in codes.PERMISSION:
        return PermissionDenied
    if status == 401:
        return AuthenticationFailed
    if status == 403:
        return PermissionDenied
    if status == 404:
        return NotFound
    return InvalidRequest


def error_without_response(request: Request[Any], reason: str, *, sent: bool) -> TwilioError:
    """Return the error for a request that received no response.

    :param reason: What happened, without request parameters.
    :param sent: Whether any byte of the request may have reached Twilio.
    """
    if not sent:
        return NotSent(f"{request}: not sent, {reason}")
    if request.idempotent:
        return ServerError(f"{request}: no response, {reason}")
    return OutcomeUnknown(f"{request}: no response, {reason}; Twilio may or may not have carried it out")


def is_retryable(request: Request[Any], error: BaseException) -> bool:
    """Return whether a client may retry the request immediately after this error.

    A request that is not idempotent is retried only if Twilio certainly did not carry it out. A large page that fails
    with status 500 is not retried as it is: the client requests a smaller page.
    """
    if isinstance(error, NotSent):
        return True
    if isinstance(error, RateLimited):
        return error.status == 429 and error.code not in codes.RETRY_LATER
    if isinstance(error, ServerError):
        return request.idempotent and not (error.status == 500 and request.with_smaller_page())
    return False


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, or None if it is invalid.

    :param header: Value of the header: seconds or an HTTP date.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if isfinite(seconds) else None
    date = parse_http_date(header)
    return None if date is None else max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def parse_http_date(header: str) -> datetime | None:
    """Return the time in a header, or None if it is invalid. A time without a time zone is in UTC."""
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

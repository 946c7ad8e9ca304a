"""What became of a request: the error, if any, that a response or its absence stands for."""

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
    from airflow_provider_twilio.api.request import Request
    from airflow_provider_twilio.api.response import Response

MAX_QUOTED_MESSAGE = 500
"""How many characters of Twilio's own message are quoted."""


def _describe(request: Request[Any], response: Response, what: str) -> str:
    number = f" (request {response.request_id})" if response.request_id else ""
    return f"{request}: Twilio {what}{number}"


def error_for_unreadable(request: Request[Any], response: Response, shape: str | None = None) -> TwilioError:
    """Give the error for an answer that can't be read: for a send, its outcome is unknown."""
    kind = ServerError if request.idempotent else OutcomeUnknown
    return kind(
        _describe(request, response, f"answered {response.status} with {shape or response.shape()} instead of JSON"),
        status=response.status,
        request_id=response.request_id,
    )


def error_from_response(request: Request[Any], response: Response, conn_id: str = "") -> TwilioError | None:
    """Choose the error for an answer; None for a success. The only place that does.

    :param conn_id: whose credentials were sent with the request, for who has to mend them.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    body = response.json()
    body = body if isinstance(body, dict) else {}
    code = next((value for value in (body.get("code"), body.get("error_code")) if isinstance(value, int)), None)
    facts: dict[str, Any] = {
        "code": code,
        "status": status,
        "request_id": response.request_id,
        "retry_after": retry_after(response.headers.get("retry-after")),
    }
    told = " ".join(str(body.get("message") or body.get("detail") or body.get("title") or response.shape()).split())
    text = (
        f"refused with {status}" + (f", code {code}: " if code else ": ") + mask(told)[:MAX_QUOTED_MESSAGE].rstrip(".")
    )
    if code:
        text += f". See {codes.page(code)}"
    kind = _error_type(request, status, code)
    if kind is AuthenticationFailed and conn_id:
        text += f". The credentials are those of the connection {conn_id}"
    return kind(_describe(request, response, text), **facts)


def _error_type(request: Request[Any], status: int, code: int | None) -> type[TwilioError]:
    if status == 429 and code in (None, codes.TOO_MANY_REQUESTS):
        return RateLimited
    if status >= 500:
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
    """Choose the error for a request without an answer.

    :param reason: what happened, in words that carry no parameter of the request.
    :param sent: whether any byte of the request may have reached Twilio.
    """
    if not sent:
        return NotSent(f"{request}: not sent, {reason}")
    if request.idempotent:
        return ServerError(f"{request}: no answer, {reason}")
    return OutcomeUnknown(f"{request}: no answer, {reason}; it may or may not have been carried out")


def is_retryable(request: Request[Any], error: BaseException) -> bool:
    """Tell whether the same request may go out again at once: the rule for both clients.

    What must not happen twice is repeated only when Twilio surely didn't do it. A large page that fails with a 500 is
    not repeated as it is: a smaller one is asked for.
    """
    if isinstance(error, NotSent):
        return True
    if isinstance(error, RateLimited):
        return error.status == 429 and error.code in (None, codes.TOO_MANY_REQUESTS)
    if isinstance(error, ServerError):
        return request.idempotent and not (error.status == 500 and request.with_smaller_page())
    return False


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now; None if it is neither."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())

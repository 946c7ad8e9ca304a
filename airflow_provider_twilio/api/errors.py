"""The errors, named by what a caller does next; each answer is classified here, once.

    TwilioError
    ├── InvalidRequest          change the request; the same again is refused again
    │   └── BadParameter        … and it was refused here, before anything was sent
    ├── AuthenticationFailed    mend the credentials
    ├── PermissionDenied        ask for the permission, or switch it on
    ├── NotFound                it isn't there, or is no longer
    ├── OptedOut                the recipient said STOP: leave them be
    ├── RateLimited             the same again, later
    ├── NotSent                 the same again: Twilio never saw it
    ├── ServerError             the same again: nothing that counts has happened
    └── OutcomeUnknown          never the same again: ask Twilio first whether it happened

Errors name the request without its parameters, and quote Twilio's message with numbers masked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.api.answers import Response
    from airflow_provider_twilio.api.core import Request


LONGEST_TOLD = 500
"""How many characters of Twilio's own message are quoted."""


class TwilioError(Exception):
    """Report that a request to Twilio did not succeed.

    :ivar code: Twilio's error code, if there was one.
    :ivar status: the HTTP status, if there was an answer.
    :ivar request_id: Twilio's id of the request, for its support.
    :ivar retry_after: seconds that Twilio asked to wait.
    """

    permanent: ClassVar[bool] = False
    """Whether the same request is sure to fail again."""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.args, self.__dict__))


def _restore(kind: type[TwilioError], args: tuple[Any, ...], state: dict[str, Any]) -> TwilioError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidRequest(TwilioError):
    """Report that Twilio refuses this request, now and again."""

    permanent = True


class BadParameter(InvalidRequest, ValueError):
    """Report an argument that is refused before anything is sent.

    The message names the parameter, the shape of what was given, and the remedy.
    """

    def __init__(self, parameter: str, fault: str, remedy: str) -> None:
        super().__init__(f"{parameter} {fault}: {remedy}")
        self.parameter = parameter


class AuthenticationFailed(TwilioError):
    """Report that Twilio does not accept the credentials."""

    permanent = True


class PermissionDenied(TwilioError):
    """Report that the credentials, the account or its settings don't allow this."""

    permanent = True


class NotFound(TwilioError):
    """Report that there is no such resource, or no longer."""

    permanent = True


class OptedOut(TwilioError):
    """Report that the recipient has opted out of messages from this sender."""

    permanent = True


class RateLimited(TwilioError):
    """Report that Twilio refused the request for its pace; it was not processed."""


class NotSent(TwilioError):
    """Report that the connection could not be made: Twilio never saw the request."""


class ServerError(TwilioError):
    """Report that Twilio did not answer, or not properly, to a request that may be repeated."""

    @classmethod
    def unreadable(cls, request: Request[Any], response: Response, shape: str | None = None) -> TwilioError:
        """Give the error for an answer that can't be read: for a send, its outcome is unknown."""
        kind = cls if request.repeatable else OutcomeUnknown
        return kind(
            _tell(request, response, f"answered {response.status} with {shape or response.shape()} instead of JSON"),
            status=response.status,
            request_id=response.request_id,
        )


class OutcomeUnknown(TwilioError):
    """Report that Twilio may or may not have done what must not be done twice.

    Don't send the same again: ask Twilio what exists. ``once`` does.
    """

    settled: bool = False
    """Whether the task's next try asks Twilio, before it sends again: so it is after ``hook.send_once``."""


def _tell(request: Request[Any], response: Response, what: str) -> str:
    number = f" (request {response.request_id})" if response.request_id else ""
    return f"{request}: Twilio {what}{number}"


def classify(request: Request[Any], response: Response, conn_id: str = "") -> TwilioError | None:
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
    text = f"refused with {status}" + (f", code {code}: " if code else ": ") + mask(told)[:LONGEST_TOLD].rstrip(".")
    if code:
        text += f". See {codes.page(code)}"
    kind = _kind(request, status, code)
    if kind is AuthenticationFailed and conn_id:
        text += f". The credentials are those of the connection {conn_id}"
    return kind(_tell(request, response, text), **facts)


def _kind(request: Request[Any], status: int, code: int | None) -> type[TwilioError]:
    if status == 429 and code in (None, codes.TOO_MANY_REQUESTS):
        return RateLimited
    if status >= 500:
        return ServerError if request.repeatable else OutcomeUnknown
    if code in codes.OPTED_OUT:
        return OptedOut
    if code in codes.LATER:
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


def lost(request: Request[Any], reason: str, *, sent: bool) -> TwilioError:
    """Choose the error for a request without an answer.

    :param reason: what happened, in words that carry no parameter of the request.
    :param sent: whether any byte of the request may have reached Twilio.
    """
    if not sent:
        return NotSent(f"{request}: not sent, {reason}")
    if request.repeatable:
        return ServerError(f"{request}: no answer, {reason}")
    return OutcomeUnknown(f"{request}: no answer, {reason}; it may or may not have been carried out")


def worth_repeating(request: Request[Any], error: BaseException) -> bool:
    """Tell whether the same request may go out again at once: the rule for both clients.

    What must not happen twice is repeated only when Twilio surely didn't do it. A large page that fails with a 500 is
    not repeated as it is: a smaller one is asked for.
    """
    if isinstance(error, NotSent):
        return True
    if isinstance(error, RateLimited):
        return error.status == 429 and error.code in (None, codes.TOO_MANY_REQUESTS)
    if isinstance(error, ServerError):
        return request.repeatable and not (error.status == 500 and request.smaller())
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

"""Exceptions, named for what the caller does next.

    TwilioError
    ├── InvalidRequest          change the request; Twilio would reject the same one again
    │   └── BadParameter        … and it was rejected here, before anything was sent
    ├── AuthenticationFailed    correct the credentials
    ├── PermissionDenied        ask for the permission, or enable it
    ├── NotFound                the resource does not exist, or no longer does
    ├── OptedOut                the recipient replied STOP: do not write to them
    ├── RateLimited             retry later
    ├── NotSent                 retry: Twilio never received the request
    ├── ServerError             retry: the request is idempotent
    ├── OutcomeUnknown          reconcile before any retry: Twilio may have carried the request out
    └── OutcomeUnresolved       inspect Twilio's records: reconciling did not settle the outcome
        └── AmbiguousOutcome    … and more than one record may be the result

Errors name the request without its parameters, and quote Twilio's message with phone numbers masked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar


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


class OutcomeUnknown(TwilioError):
    """Report that Twilio may or may not have done what must not be done twice.

    Don't send the same again: ask Twilio what exists. ``once`` does.
    """

    will_reconcile: bool = False
    """Whether the task's next try asks Twilio, before it sends again: so it is after ``hook.send_once``."""


class OutcomeUnresolved(TwilioError):
    """Report that it can't be told whether a request was carried out, and that it was not sent again.

    :ivar candidates: the SIDs of what may be its result.
    """

    permanent = True

    def __init__(self, message: str, candidates: Collection[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class AmbiguousOutcome(OutcomeUnresolved):
    """Report that several things fit a request, or one fits several requests, and which is whose can't be told."""

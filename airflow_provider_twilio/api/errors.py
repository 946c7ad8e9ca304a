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
    └── OutcomeUnresolved       inspect Twilio's records: the outcome could not be determined
        └── AmbiguousOutcome    … and more than one record may be the result

Errors name the request without its parameters, and quote Twilio's message with phone numbers masked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar


class TwilioError(Exception):
    """A request to Twilio that did not succeed. Base class of this package's API errors.

    .. code-block:: python

        try:
            message = hook.messages.create(to=number, body="Load finished")
        except OptedOut:
            ...  # remove the number from the list
        except TwilioError as error:
            log.warning("Code %s: %s", error.code, error)

    :ivar code: Twilio's error code, if any.
    :ivar status: HTTP status, if Twilio responded.
    :ivar request_id: Twilio's ID of the request, for support inquiries.
    :ivar retry_after: Seconds to wait before the next request, if Twilio asked for a delay.
    """

    permanent: ClassVar[bool] = False
    """Whether the same request would fail again."""

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


def _restore(error_type: type[TwilioError], args: tuple[Any, ...], state: dict[str, Any]) -> TwilioError:
    error = error_type.__new__(error_type, *args)
    error.__dict__.update(state)
    return error


class InvalidRequest(TwilioError):
    """A request that Twilio rejects, and would reject again unless it is changed."""

    permanent = True


class BadParameter(InvalidRequest, ValueError):
    """An argument that is invalid. It was rejected before anything was sent.

    The message names the parameter, describes its value without quoting it, and states the remedy.

    :param parameter: Name of the parameter.
    :param fault: What is wrong with it, as a predicate: ``is missing``.
    :param remedy: What to do, as an imperative: ``pass body or media_url``.
    """

    def __init__(self, parameter: str, fault: str, remedy: str) -> None:
        super().__init__(f"{parameter} {fault}: {remedy}")
        self.parameter = parameter


class AuthenticationFailed(TwilioError):
    """Credentials that Twilio does not accept."""

    permanent = True


class PermissionDenied(TwilioError):
    """A request that the credentials, the account or its settings do not permit."""

    permanent = True


class NotFound(TwilioError):
    """A resource that does not exist, or no longer exists."""

    permanent = True


class OptedOut(TwilioError):
    """A recipient who has opted out of messages from this sender."""

    permanent = True


class RateLimited(TwilioError):
    """A request that Twilio rejected for now and did not process. It can be sent again later."""


class NotSent(TwilioError):
    """A request that never reached Twilio, because no connection could be made."""


class ServerError(TwilioError):
    """An idempotent request that failed at Twilio, or received no usable response."""


class OutcomeUnknown(TwilioError):
    """A non-idempotent request that Twilio may or may not have carried out.

    Do not send the request again before you have checked Twilio's records, as ``hook.send_once`` does.
    """

    will_reconcile: bool = False
    """Whether the task's next try checks Twilio's records before it sends again, as after ``hook.send_once``."""


class OutcomeUnresolved(TwilioError):
    """A request whose outcome cannot be determined, even from Twilio's records.

    The request was not sent again.

    :ivar candidates: SIDs of the records that may be its result.
    """

    permanent = True

    def __init__(self, message: str, candidates: Collection[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class AmbiguousOutcome(OutcomeUnresolved):
    """A request whose result cannot be identified, because several records or requests match."""

"""Conversion of Twilio's errors and of trigger events into Airflow's exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSkipException,
)
from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import TwilioError

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.polling.events import WaitEvent


@contextmanager
def fail_on_permanent_errors() -> Iterator[None]:
    """Fail the task at once, without retries, on an error that a retry would meet again.

    :raises AirflowFailException: If the block raises a permanent :class:`TwilioError`.
    """
    try:
        yield
    except TwilioError as error:
        if error.permanent:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise


def raise_for_event(
    event: WaitEvent,
    *,
    skip_opted_out: bool = False,
    timeout_error: type[Exception] = AirflowFailException,
) -> dict[str, Any]:
    """Return the record's facts if a wait has reached its goal, and raise otherwise.

    :param event: The event of the wait, as the trigger yields it.
    :param skip_opted_out: Whether to skip the task instead of failing it if the recipient has opted out.
    :param timeout_error: The exception to raise when the deadline has passed.
    :raises AirflowSkipException: The recipient has opted out, and ``skip_opted_out`` is set.
    :raises AirflowFailException: The wait has failed, or the event is not one of this provider's.
    """
    reason = str(event.get("reason"))
    match event.get("outcome"):
        case "reached":
            return {name: value for name, value in event.items() if name not in ("outcome", "reason")}
        case "timeout":
            raise timeout_error(reason)
        case "failed" if skip_opted_out and event.get("error_code") in codes.OPTED_OUT:
            raise AirflowSkipException(reason)
        case "failed" | "error":
            raise AirflowFailException(reason)
    raise AirflowFailException(f"The trigger's event has no known outcome. Its keys are: {', '.join(sorted(event))}")

"""How a task ends: errors and events turned into Airflow's exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSkipException,
)
from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import TwilioError


@contextmanager
def fail_on_permanent_errors() -> Iterator[None]:
    """Make errors that would come again fail the task at once, whatever its ``retries``."""
    try:
        yield
    except TwilioError as error:
        if error.permanent:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise


def raise_for_event(
    told: Mapping[str, Any],
    *,
    skip_opted_out: bool = False,
    late: type[Exception] = AirflowFailException,
) -> dict[str, Any]:
    """Turn an outcome into the end of a task: give its facts on success, raise otherwise.

    :param told: as :func:`airflow_provider_twilio.runtime.polling.status.event` gives it.
    :param skip_opted_out: skip instead of failing when the recipient had opted out.
    :param late: what is raised at the deadline.
    """
    reason = str(told.get("reason"))
    match told.get("outcome"):
        case "reached":
            return {name: value for name, value in told.items() if name not in ("outcome", "reason")}
        case "timeout":
            raise late(reason)
        case "failed" if skip_opted_out and told.get("error_code") in codes.OPTED_OUT:
            raise AirflowSkipException(reason)
        case "failed" | "error":
            raise AirflowFailException(reason)
    raise AirflowFailException(f"The trigger told nothing that can be understood: its keys are {sorted(told)}")

"""``twilio_retry_policy()``: retry what can come right, when Twilio says, and nothing else. Airflow 3.3 and later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_twilio._airflow.retry_policy import RetryDecision, RetryPolicy
from airflow_provider_twilio.api.errors import OutcomeUnknown, RateLimited, TwilioError


class TwilioRetryPolicy(RetryPolicy):
    """Decide on a retry by what Twilio said, in any task that calls the hook: see :func:`twilio_retry_policy`."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Mapping[str, Any] | None = None,
    ) -> RetryDecision:
        """Decide by the error, or by the one that it was raised from."""
        error = next((error for error in _causes(exception) if isinstance(error, TwilioError)), None)
        if error is None:
            return RetryDecision.default()
        name = type(error).__name__
        if error.permanent:
            return RetryDecision.fail(f"{name}: the same again would fail again")
        if isinstance(error, OutcomeUnknown) and not error.will_reconcile:
            return RetryDecision.fail(f"{name}: the same again could be done twice")
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return RetryDecision.retry(timedelta(seconds=error.retry_after), f"{name}: Twilio said when to come again")
        return RetryDecision.retry(reason=f"{name}: the same again can succeed")

    def serialize(self) -> dict[str, Any]:
        """Tell what makes this policy again: it has no parameters."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> TwilioRetryPolicy:
        return cls()


def twilio_retry_policy() -> TwilioRetryPolicy:
    """Give the policy for a task's ``retry_policy=``, or for all in ``default_args``.

    Rate limits are retried when Twilio said (Retry-After), else, like its failures and a lost network, by the task's
    own ``retry_delay``. What would fail again fails at once. So does a send whose outcome is not known, unless it is
    sent once, by an operator or ``hook.send_once``: the next try settles it. All other errors are left to the task's
    own settings. ``retries`` bounds it all.

    :raises RuntimeError: this Airflow is older than 3.3. The operators fail at once for good there too.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html
    """
    return TwilioRetryPolicy()


def _causes(exception: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while exception is not None and id(exception) not in seen:
        yield exception
        seen.add(id(exception))
        exception = exception.__cause__

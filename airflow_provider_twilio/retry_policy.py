"""``twilio_retry_policy()``: retries of a task depending on Twilio's error. For Airflow 3.3 and later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_twilio._airflow.retry_policy import RetryDecision, RetryPolicy
from airflow_provider_twilio.api.errors import OutcomeUnknown, RateLimited, TwilioError


class TwilioRetryPolicy(RetryPolicy):
    """A retry policy for tasks that call Twilio: see :func:`twilio_retry_policy`."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Mapping[str, Any] | None = None,
    ) -> RetryDecision:
        """Return whether Airflow retries the task, and when.

        :param exception: The task's error. If it is not Twilio's, the errors that it was raised from are searched.
        :param try_number: Number of the try that failed. Not used.
        :param max_tries: Maximum number of tries. Not used: Airflow applies it.
        :param context: Context of the task. Not used.
        """
        error = next((error for error in _causes(exception) if isinstance(error, TwilioError)), None)
        if error is None:
            return RetryDecision.default()
        name = type(error).__name__
        if error.permanent:
            return RetryDecision.fail(f"{name}: a retry would fail, too")
        if isinstance(error, OutcomeUnknown) and not error.will_reconcile:
            return RetryDecision.fail(f"{name}: a retry could repeat the request")
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return RetryDecision.retry(timedelta(seconds=error.retry_after), f"{name}: Twilio set the delay")
        return RetryDecision.retry(reason=f"{name}: a retry may succeed")

    def serialize(self) -> dict[str, Any]:
        """Return the JSON from which :meth:`deserialize` builds the policy."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> TwilioRetryPolicy:
        """Return the policy. It has no parameters."""
        return cls()


def twilio_retry_policy() -> TwilioRetryPolicy:
    """Return a retry policy, for ``retry_policy`` of a task or in ``default_args``.

    The policy depends on Twilio's error:

    * A rate limit is retried after Twilio's Retry-After, or else after the task's ``retry_delay``.
    * A server error and a failed connection are retried after the task's ``retry_delay``.
    * A permanent error, such as an invalid number, fails the task at once.
    * A send of unknown outcome fails the task at once, unless the next try reconciles it. Sends by an operator or by
      ``hook.send_once`` are reconciled.
    * Any other error is left to the task's own settings.

    The number of retries is the task's ``retries``. Works for any task that calls the hook.

    .. code-block:: python

        @task(retries=5, retry_policy=twilio_retry_policy())
        def count_messages() -> int:
            return len(list(TwilioHook().messages.list(limit=100)))

    :raises RuntimeError: If Airflow is older than 3.3. There, the provider's operators still fail at once on permanent
        errors.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html
    """
    return TwilioRetryPolicy()


def _causes(exception: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while exception is not None and id(exception) not in seen:
        yield exception
        seen.add(id(exception))
        exception = exception.__cause__

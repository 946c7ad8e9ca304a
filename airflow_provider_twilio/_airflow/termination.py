"""Ending a wait on a worker when the task is killed or its worker is shut down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_twilio._airflow.compat import AirflowException


class WaitTerminated(BaseException):
    """The end of a wait by a signal.

    Like Airflow's own ``AirflowTaskTimeout``, it is no ``Exception``: Airflow's sensors would skip the task instead
    with ``never_fail``, and continue to wait with ``silent_fail``.
    """


class EndsWaitOnKill:
    """A task whose wait on a worker ends with SIGTERM.

    Airflow's signal handler calls ``on_kill``, and then the interrupted wait continues, unless ``on_kill`` raises. A
    task that ignores the signal uses up the grace period of its worker.
    """

    _waiting_for: str | None = None

    @contextmanager
    def _waiting(self, target: str) -> Iterator[None]:
        """Mark a block as a wait.

        :param target: What the task waits for, for the log.
        :raises AirflowException: A signal has ended the wait. Airflow retries the task if it has a try left.
        """
        try:
            try:
                self._waiting_for = target
                yield
            finally:
                self._waiting_for = None
        except WaitTerminated as termination:
            raise AirflowException(str(termination)) from None

    def on_kill(self) -> None:
        """End a wait with an error, after which Airflow retries the task if it has a try left."""
        super().on_kill()  # type: ignore[misc]
        if self._waiting_for is not None:
            raise WaitTerminated(f"Stopped waiting for {self._waiting_for}: the next try continues to wait")

"""Stopping a message or call when a user kills the task that waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import STATE_UNKNOWN, get_own_xcom, get_task_state
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.links.twilio import TwilioLogLink

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.runtime.polling.shared import Connect

log = logging.getLogger(__name__)

SURVIVING_STATES = frozenset({"deferred", "success", "skipped", STATE_UNKNOWN})
"""States in which a deferred task has not been killed: it is still deferred, or a user marked it as done."""


MAX_STOP_SECONDS = 10.0
"""Seconds that a killed task waits on its worker for the stop request to return."""


_stopping: set[asyncio.Task[None]] = set()
"""Stop requests in flight: an event loop has only weak references to its tasks."""


async def _run_shielded(stop: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, even if the caller is canceled.

    Airflow cancels a killed trigger once a second until it has ended, and its ``on_kill`` with it.
    """
    stopping = asyncio.create_task(stop)
    _stopping.add(stopping)
    stopping.add_done_callback(_stopping.discard)
    await asyncio.shield(stopping)


@dataclass(frozen=True, slots=True)
class StopOnKill:
    """The request that stops a message or call, and the conditions under which it is sent.

    Airflow calls ``on_kill`` in other cases, too: when a trigger moves to another triggerer, and when a worker is shut
    down. So the state of the task is read first. If it cannot be read, nothing is stopped. In the triggerer, nothing is
    stopped after the deadline either, since the task may have ended by itself.

    :param sid: SID of the message or call.
    :param request: Request that stops it.
    :param task_instance: Task instance that waits for it.
    :param on_clear: ``resend`` if a cleared task sends again; ``skip`` if it waits for the same record again, which is
        then not stopped.
    :param deadline: End of the wait, in seconds since the epoch; None for no end.
    """

    sid: str
    request: Request[Any]
    task_instance: Any
    on_clear: OnClear
    deadline: float | None = None

    async def run_in_triggerer(self, open_client: Connect) -> None:
        """Stop the record if a user has killed this try of a deferred task."""
        if self.deadline is not None and time.time() >= self.deadline:
            return
        await _run_shielded(self._stop(open_client))

    def run_on_worker(self, client: Client) -> None:
        """Stop the record if a user has killed this try of a task that waits on a worker.

        Airflow calls this in a signal handler. The interrupted code may hold locks that are needed here, so the work is
        done in a thread, with a limit on the time.
        """
        stopping = threading.Thread(target=self._stop_on_worker, args=(client,), daemon=True)
        stopping.start()
        stopping.join(MAX_STOP_SECONDS)

    async def _stop(self, open_client: Connect) -> None:
        from asgiref.sync import sync_to_async

        # Only the blocking way to read the state is a public interface of Airflow's, so it runs in a thread.
        state = await sync_to_async(get_task_state)(self.task_instance)
        if self._is_kill(state, cleared=state not in SURVIVING_STATES) or await self._was_replaced():
            with self._logged():
                async with open_client() as client:
                    await client.send(self.request)

    def _stop_on_worker(self, client: Client) -> None:
        state = get_task_state(self.task_instance)
        if self._is_kill(state, cleared=state == "restarting"):
            with self._logged():
                client.send(self.request)

    def _is_kill(self, state: str | None, *, cleared: bool) -> bool:
        """Return whether a user marked the task failed, or cleared it to send again."""
        return state == "failed" or (cleared and self.on_clear == "resend")

    async def _was_replaced(self) -> bool:
        """Return whether the task was cleared and has created another message or call.

        Its link shows that one then.
        """
        link = await get_own_xcom(self.task_instance, TwilioLogLink().xcom_key)
        return bool(link) and self.sid not in str(link)

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Log the result, since no caller could handle an error."""
        try:
            yield
        except TwilioError as error:
            log.warning("Could not stop %s: %s", self.sid, error)
        else:
            log.info("Stopped %s, since the task was killed", self.sid)


async def cancel_if_failed(
    task_instance: Any, read_sids: Callable[[], Awaitable[tuple[Collection[str], int]]], open_client: Connect
) -> None:
    """Cancel the messages of a bulk send that are still scheduled, if a user has marked its task as failed.

    :param task_instance: The deferred task instance.
    :param read_sids: Returns the SIDs of the messages, and the number of messages that may have been sent without one.
    """
    await _run_shielded(_cancel_if_failed(task_instance, read_sids, open_client))


async def _cancel_if_failed(
    task_instance: Any, read_sids: Callable[[], Awaitable[tuple[Collection[str], int]]], open_client: Connect
) -> None:
    from asgiref.sync import sync_to_async

    from airflow_provider_twilio.runtime.bulk.cancel import cancel_scheduled, describe_unknown

    if await sync_to_async(get_task_state)(task_instance) != "failed":
        return
    async with open_client() as client:
        sids, unknown = await read_sids()
        if unknown:
            log.warning(describe_unknown(unknown))
        counts = await cancel_scheduled(client, sids)
    log.info("Canceled scheduled messages, since the task was marked as failed: %s", dict(counts))

"""What the triggers share: they wait by the common poll, and their events say what came of it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_twilio._airflow.compat import (
    STATE_UNKNOWN,
    get_own_xcom,
    get_task_state,
)
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.links.twilio import TwilioLogLink
from airflow_provider_twilio.runtime.polling.events import evaluate, missing, rejected, timed_out
from airflow_provider_twilio.runtime.polling.shared import Connect, Source
from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY, NOT_FOUND_GRACE, StatusWait, wait_for

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.blocking import Client

TIME_ARGUMENTS = frozenset({"poll_interval", "deadline", "not_before", "created", "sent_grace", "lookback", "overlap"})
"""Arguments that are numbers of seconds."""


SURVIVING_STATES = frozenset({"deferred", "success", "skipped", STATE_UNKNOWN})
"""The states in which a task that was deferred has not been killed: still deferred, or marked as well done."""


MAX_STOP_SECONDS = 10.0
"""Seconds for which a task that is killed on a worker waits until what it waited for is stopped."""


RECHECK_DELAY = 1.0
"""Seconds after which a worker looks again for what was not found."""


class SharedPollTrigger(BaseTrigger):
    """Take part in a poll that is shared by all of an account.

    Its arguments are JSON primitives and carry no credentials and no texts: they are checked as it is made, which is
    before anything is sent.

    :param arguments: the subclass's arguments, as it was given them.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = arguments
        check_arguments(arguments)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the arguments that make this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    @property
    def hook(self) -> TwilioHook:
        return TwilioHook(*self.account)

    @property
    def account(self) -> tuple[str, str | None]:
        """The connection and account, which name the poll."""
        return self.arguments["twilio_conn_id"], self.arguments["account_sid"]

    @property
    def connect(self) -> Connect:
        """What opens a client for the poll, which outlives this trigger and is handed nothing of it."""
        return partial(open_client, *self.account)


class WaitTrigger(SharedPollTrigger):
    """Wait for one record to come to its end, together with all who wait for that account's records.

    :param arguments: the subclass's arguments, as it was given them, without any number.
    """

    source: ClassVar[Source]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        checks.choice("on_clear", arguments["on_clear"], ("resend", "skip"))

    @property
    @abstractmethod
    def sid(self) -> str:
        """What is waited for."""

    @property
    @abstractmethod
    def goal(self) -> Goal:
        """What counts as success."""

    @abstractmethod
    def stop_request(self) -> Request[Any] | None:
        """Give the request that stops what is waited for when a user kills the task; None to leave it be."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and tell the outcome in one event."""
        arguments = self.arguments
        wait = StatusWait(
            self.sid,
            self.goal,
            interval=arguments["poll_interval"],
            deadline=arguments["deadline"],
            not_before=arguments.get("not_before") or 0.0,
            created=arguments["created"] or time.time(),
        )
        outcome = await wait_for(wait, self.source, self.account, self.connect)
        yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]

    def check(self, client: Client) -> dict[str, Any] | None:
        """Look once, on a worker, and tell the outcome; None to look again later."""
        try:
            record = self._fetch(client)
        except NotFound as error:
            return missing(self.sid, error)
        except TwilioError as error:
            if error.permanent:
                return rejected(self.sid, error)
            self.log.warning("Waiting on: %s", error)
            return self._late(str(error))
        if record is None:
            return self._late("it is not found")
        self.log.info("%s is %s", self.sid, record.get("status"))
        return evaluate(self.goal, self.sid, record) or self._late(f"it is {record.get('status')}", record)

    def _fetch(self, client: Client) -> Record | None:
        """Fetch the record. That it isn't there counts when seen twice, and not just after the creation."""
        request: Request[Record] = self.source.fetch(self.sid)
        try:
            return client.send(request)
        except NotFound:
            if time.time() - (self.arguments["created"] or 0.0) < NOT_FOUND_GRACE:
                return None
        time.sleep(RECHECK_DELAY)
        return client.send(request)

    def _late(self, seen: str, record: Record | None = None) -> dict[str, Any] | None:
        """Tell that the deadline has passed, if it has."""
        deadline = self.arguments["deadline"]
        return None if deadline is None or time.time() < deadline else timed_out(self.sid, seen, record)

    def wait(self, client: Client) -> dict[str, Any]:
        """Wait on a worker, whose slot it holds meanwhile, and tell the outcome."""
        self.log.info("Waiting for %s", self.sid)
        deadline = self.arguments["deadline"] or math.inf
        time.sleep(max(0.0, min(self.arguments.get("not_before") or 0.0, deadline) - time.time()))
        while (told := self.check(client)) is None:
            time.sleep(max(0.0, min(self.arguments["poll_interval"], deadline - time.time())))
        return told

    async def on_kill(self) -> None:
        """Stop what can still be stopped, if a user has ended this very try and not marked it a success.

        Airflow calls this on a mere hand-over between triggerers too, so it is asked first whether the task is still
        deferred, and for this SID; where that can't be told, nothing is stopped. Nor is it after the deadline: then the
        task may have come to its own end; nor by Clear where the cleared task waits on for the same.
        """
        request = self.stop_request()
        if request is None or self._late(""):
            return
        # Airflow cancels a killed trigger anew every second until it is gone, and this method with it.
        stopping = asyncio.create_task(self._stop(request))
        _stopping.add(stopping)
        stopping.add_done_callback(_stopping.discard)
        await asyncio.shield(stopping)

    async def _stop(self, request: Request[Any]) -> None:
        from asgiref.sync import sync_to_async

        # Of the two ways to ask, blocking and awaited, only the blocking one is Airflow's own word; so in a thread.
        state = await sync_to_async(get_task_state)(self.task_instance)
        if self._kills(state, cleared=state not in SURVIVING_STATES) or await self._was_replaced():
            with self._logged():
                async with self.hook.aclient() as client:
                    await client.send(request)

    def on_worker_kill(self, client: Client) -> None:
        """Do the same for a task that waits on a worker.

        Airflow calls its on_kill also when the worker is shut down: then the task is still running, and will be again.
        It does so from a signal's handler: what that has interrupted may hold what is asked for here, so it is done in
        a thread, and not waited for long.
        """
        if request := self.stop_request():
            stopping = threading.Thread(target=self._stop_on_worker, args=(client, request), daemon=True)
            stopping.start()
            stopping.join(MAX_STOP_SECONDS)

    def _stop_on_worker(self, client: Client, request: Request[Any]) -> None:
        state = get_task_state(self.task_instance)
        if self._kills(state, cleared=state == "restarting"):
            with self._logged():
                client.send(request)

    def _kills(self, state: str | None, *, cleared: bool) -> bool:
        """Tell whether a user has ended this try, by a state: as failed, or by Clear, unless that waits on."""
        return state == "failed" or (cleared and self.arguments["on_clear"] == "resend")

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Log what comes of it: nobody is there to catch an error."""
        try:
            yield
        except TwilioError as error:
            self.log.warning("%s: could not be stopped: %s", self.sid, error)
        else:
            self.log.info("%s: stopped, since the task was killed", self.sid)

    async def _was_replaced(self) -> bool:
        """Tell whether the task, cleared meanwhile, has another message or call by now: its link leads there."""
        link = await get_own_xcom(self.task_instance, TwilioLogLink().xcom_key)
        return bool(link) and self.sid not in str(link)


_stopping: set[asyncio.Task[None]] = set()
"""What on_kill has begun: a loop holds its tasks but weakly."""


@asynccontextmanager
async def open_client(twilio_conn_id: str, account_sid: str | None) -> AsyncIterator[AsyncClient]:
    """Open the client that a poll asks by."""
    # The poll has its own way to be patient: a client that repeats would only make all wait for one.
    async with TwilioHook(twilio_conn_id, account_sid).aclient(concurrency=FETCH_CONCURRENCY, retries=0) as client:
        yield client


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Require JSON primitives, and times that are times, before anything is sent."""
    for name, value in arguments.items():
        _check_json(name, value)
    for name in TIME_ARGUMENTS & arguments.keys():
        _check_time(name, arguments[name])
    if not arguments["poll_interval"]:
        raise BadParameter("poll_interval", f"is {arguments['poll_interval']}", "give seconds above 0")


def _check_json(name: str, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_json(name, item)
    elif not (value is None or isinstance(value, str | int | float)):
        raise BadParameter(
            name, f"is of type {type(value).__name__}", "a trigger takes strings, numbers and lists of them"
        )


def _check_time(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool | str | list) or not math.isfinite(value) or value < 0:
        raise BadParameter(name, f"is {value!r}"[:40], "give a number of seconds, or None")

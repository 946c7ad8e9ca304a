"""What the triggers share: they wait by the common poll, and their events say what came of it."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_twilio._airflow import AirflowFailException, AirflowSkipException, was_killed
from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.core import Request
from airflow_provider_twilio.api.errors import BadParameter, NotFound, TwilioError
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.poll import FETCHES_AT_ONCE, FRESH, Source, Wait, event, wait_for

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client


class WaitTrigger(BaseTrigger):
    """Wait for one record to come to its end, together with all who wait for that account's records.

    Its arguments are JSON primitives and carry no credentials, numbers or texts: they are checked as it is made, which
    is before anything is sent.

    :param arguments: the subclass's arguments, as it was given them.
    """

    source: ClassVar[Source]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = arguments
        for name, value in arguments.items():
            _check_json(name, value)
        if arguments["poll_interval"] <= 0:
            raise BadParameter("poll_interval", f"is {arguments['poll_interval']}", "give seconds above 0")

    @property
    @abstractmethod
    def sid(self) -> str:
        """What is waited for."""

    @property
    @abstractmethod
    def goal(self) -> Goal:
        """What counts as success."""

    @abstractmethod
    def stop(self) -> Request[Any] | None:
        """Give the request that stops what is waited for when a user kills the task; None to leave it be."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the arguments that make this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    @property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.arguments["twilio_conn_id"], self.arguments["account_sid"])

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and tell the outcome in one event."""
        arguments = self.arguments
        wait = Wait(
            self.sid,
            self.goal,
            interval=arguments["poll_interval"],
            deadline=arguments["deadline"],
            not_before=arguments.get("not_before") or 0.0,
            created=arguments["created"] or time.time(),
        )
        # The poll has its own way to be patient: a client that repeats would only make all wait for one.
        outcome = await wait_for(
            wait,
            self.source,
            (arguments["twilio_conn_id"], arguments["account_sid"]),
            lambda: self.hook.aclient(concurrency=FETCHES_AT_ONCE, retries=0),
        )
        yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]

    def look(self, client: Client) -> dict[str, Any] | None:
        """Look once, on a worker, and tell the outcome; None to look again later."""
        try:
            record = client.send(self.source.fetch(self.sid))
        except NotFound:
            if time.time() - (self.arguments["created"] or 0.0) >= FRESH:
                raise
            self.log.info("%s is not found yet", self.sid)
            return None
        except TwilioError as error:
            if error.permanent:
                raise
            self.log.warning("Waiting on: %s", error)
            return None
        verdict = self.goal.verdict(record, datetime.now(UTC))
        self.log.info("%s is %s", self.sid, record.get("status"))
        return None if verdict.outcome == "waiting" else event(self.sid, verdict.outcome, verdict.reason, record)

    def wait(self, client: Client) -> dict[str, Any]:
        """Wait on a worker, whose slot it holds meanwhile, and tell the outcome."""
        deadline = self.arguments["deadline"] or math.inf
        time.sleep(max(0.0, min(self.arguments.get("not_before") or 0.0, deadline) - time.time()))
        while (told := self.look(client)) is None:
            left = deadline - time.time()
            if left <= 0:
                return event(self.sid, "timeout", f"{self.sid} has not come to its end at its deadline")
            time.sleep(min(self.arguments["poll_interval"], left))
        return told

    async def on_kill(self) -> None:
        """Stop what can still be stopped, if a user has ended this very try and not marked it a success.

        Airflow calls this on a mere hand-over between triggerers too, so the task's state is asked for first; where it
        can't be told, nothing is stopped.
        """
        request = self.stop()
        if request is None or not await was_killed(self.task_instance):
            return
        try:
            async with self.hook.aclient() as client:
                await client.send(request)
            self.log.info("%s: stopped, since the task was killed", self.sid)
        except TwilioError as error:
            self.log.warning("%s: could not be stopped: %s", self.sid, error)


def _check_json(name: str, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_json(name, item)
    elif not (value is None or isinstance(value, str | int | float)):
        raise BadParameter(
            name, f"is of type {type(value).__name__}", "a trigger takes strings, numbers and lists of them"
        )


def conclude(
    told: Mapping[str, Any],
    *,
    skip_opted_out: bool = False,
    late: type[Exception] = AirflowFailException,
) -> dict[str, Any]:
    """Turn an outcome into the end of a task: give its facts on success, raise otherwise.

    :param told: as :func:`airflow_provider_twilio.poll.event` gives it.
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

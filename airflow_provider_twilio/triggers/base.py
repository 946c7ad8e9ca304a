"""Base classes of the triggers."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.polling.shared import Connect, Source
from airflow_provider_twilio.runtime.polling.spec import WaitSpec, check_plain_value
from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY, wait_for
from airflow_provider_twilio.triggers._stopping import StopOnKill

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

TIME_ARGUMENTS = frozenset({"deadline", "not_before", "created", "sent_grace", "lookback", "overlap"})
"""Names of the arguments that are numbers of seconds."""


class SharedPollTrigger(BaseTrigger):
    """A trigger that takes part in a poll shared by all triggers with the same credentials.

    Its arguments are JSON primitives without credentials and message bodies. They are checked on construction.

    :param arguments: Local variables of the subclass's ``__init__``: ``self`` and its parameters.
    :raises BadParameter: An argument cannot be stored, or is not a number of seconds where it must be.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = {name: value for name, value in arguments.items() if name not in ("self", "__class__")}
        for name, value in self.arguments.items():
            check_plain_value(name, value)
        for name in TIME_ARGUMENTS & self.arguments.keys():
            checks.seconds(name, self.arguments[name])
        checks.positive_seconds("poll_interval", self.arguments["poll_interval"])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that this trigger can be constructed from."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    @property
    def hook(self) -> TwilioHook:
        """The hook of the connection and account."""
        return TwilioHook(*self.account)

    @property
    def account(self) -> tuple[str, str | None]:
        """The connection and account. Triggers that start at the same time read a connection once."""
        return self.arguments["twilio_conn_id"], self.arguments["account_sid"]

    @property
    def connect(self) -> Connect:
        """The function that opens a client for the poll.

        It has no reference to the trigger, which ends before the poll.
        """
        return partial(open_client, *self.account)


class WaitTrigger(SharedPollTrigger):
    """A trigger that waits for the final status of one message or call."""

    source: ClassVar[Source]

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        checks.choice("on_clear", self.arguments["on_clear"], ("resend", "skip"))

    @property
    @abstractmethod
    def sid(self) -> str:
        """The SID of the message or call."""

    @property
    @abstractmethod
    def goal(self) -> Goal:
        """The goal of the wait."""

    @abstractmethod
    def stop_request(self) -> Request[Any] | None:
        """Return the request that stops the message or call if a user kills the task.

        None leaves the message or call as it is.
        """

    @property
    def spec(self) -> WaitSpec[Goal]:
        """The description of the wait."""
        return WaitSpec(
            self.sid,
            self.goal,
            interval=self.arguments["poll_interval"],
            deadline=self.arguments["deadline"],
            not_before=self.arguments.get("not_before") or 0.0,
            created=self.arguments["created"] or time.time(),
        )

    def stop_on_kill(self, task_instance: Any) -> StopOnKill | None:
        """Return what stops the message or call when a user kills the task; None to leave it."""
        request = self.stop_request()
        if request is None:
            return None
        return StopOnKill(
            self.sid, request, task_instance, self.arguments["on_clear"], deadline=self.arguments["deadline"]
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the outcome in one event."""
        event = await wait_for(self.spec, self.source, self.account, self.connect)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Stop the message or call if a user has killed the task."""
        if stop := self.stop_on_kill(self.task_instance):
            await stop.run_in_triggerer(self.hook.aclient)


@asynccontextmanager
async def open_client(twilio_conn_id: str, account_sid: str | None) -> AsyncIterator[AsyncClient]:
    """Open a client for a poll."""
    # The poll backs off by itself. Retries in the client would keep every subscriber waiting for one request.
    async with TwilioHook(twilio_conn_id, account_sid).aclient(concurrency=FETCH_CONCURRENCY, retries=0) as client:
        yield client

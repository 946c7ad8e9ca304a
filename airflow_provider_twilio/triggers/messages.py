"""Wait in the triggerer for a message's delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_twilio._airflow.compat import get_own_xcom
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.codes import RESENDABLE
from airflow_provider_twilio.api.messages import KINDS, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.runtime.polling.shared import Connect
from airflow_provider_twilio.runtime.polling.status import MESSAGES
from airflow_provider_twilio.triggers.base import WaitTrigger, check_arguments, open_client

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.send_once import OnClear


class MessageDeliveryTrigger(WaitTrigger):
    """Wait until a message is delivered or has failed, and tell which.

    :param message_sid: the message, SM… or MM….
    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account the message belongs to, where it isn't the connection's own.
    :param poll_interval: seconds between two looks.
    :param deadline: the end of the wait, in seconds since the epoch; None for no end. A last look is taken then.
    :param not_before: the message is scheduled: it isn't asked for before this time, in seconds since the epoch.
    :param created: when the message was created, in seconds since the epoch.
    :param accept_sent: take ``sent`` for success.
    :param sent_grace: take ``sent`` for success when it has lasted so many seconds.
    :param resendable_codes: error codes after which sending again can help, for the reason's words.
    :param cancel_on_kill: cancel the message, if it is still scheduled, when a user kills the task.
    :param on_clear: ``resend`` where Clear kills the task, ``skip`` where it waits on for the same after it.

    https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    source = MESSAGES

    def __init__(
        self,
        message_sid: str,
        *,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        not_before: float | None = None,
        created: float | None = None,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        resendable_codes: Sequence[int] | None = None,
        cancel_on_kill: bool = False,
        on_clear: OnClear = "resend",
    ) -> None:
        arguments: dict[str, Any] = dict(locals())
        super().__init__(**{name: arguments[name] for name in arguments if name not in ("self", "__class__")})
        checks.sid("message_sid", message_sid, *KINDS)

    @property
    def sid(self) -> str:
        return str(self.arguments["message_sid"])

    @property
    def goal(self) -> Delivery:
        codes = self.arguments["resendable_codes"]
        return Delivery(
            self.arguments["accept_sent"],
            self.arguments["sent_grace"],
            RESENDABLE if codes is None else frozenset(codes),
        )

    def stop_request(self) -> Request[Any] | None:
        return Messages.update(self.sid, status="canceled") if self.arguments["cancel_on_kill"] else None


class MessagesDeliveryTrigger(BaseTrigger):
    """Wait until each of many messages is delivered or has failed, and tell how many of each.

    Its row carries no SIDs: they are read where the task has put them.

    :param key: what the ledger's entries, or the XComs, are named by.
    :param checkpoint_path: the folder; None where the SIDs are in XComs.
    :param xcoms: in how many.
    :param of_task: whose XComs: the ids of DAG, run and task, and the map index.
    :param messages: how many SIDs there must be.
    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account the messages belong to, where it isn't the connection's own.
    :param poll_interval: seconds between two looks.
    :param deadline: the end of the wait, in seconds since the epoch. A last look is taken then.
    :param begun: when they were sent, or are to be, in seconds since the epoch: they aren't asked for before.
    :param accept_sent: take ``sent`` for success.
    :param sent_grace: take ``sent`` for success when it has lasted so many seconds.

    https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    def __init__(
        self,
        key: str,
        *,
        checkpoint_path: str | None = None,
        xcoms: int = 0,
        of_task: Sequence[Any] = ("", "", "", -1),
        messages: int = 0,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        poll_interval: float = 30.0,
        deadline: float = 0.0,
        begun: float = 0.0,
        accept_sent: bool = False,
        sent_grace: float | None = None,
    ) -> None:
        arguments: dict[str, Any] = dict(locals())
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = {name: arguments[name] for name in arguments if name not in ("self", "__class__")}
        self.arguments["of_task"] = list(of_task)
        check_arguments(self.arguments)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the arguments that make this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the SIDs, wait, and tell the numbers in one event."""
        sids = await self._sids()
        if len(sids) != self.arguments["messages"]:
            raise LookupError(f"{len(sids)} SIDs were found, and {self.arguments['messages']} messages sent")
        name = (self.arguments["twilio_conn_id"], self.arguments["account_sid"])
        yield TriggerEvent(await self.wait_for(sids, partial(open_client, *name)))  # type: ignore[no-untyped-call]

    async def wait_for(self, sids: Iterable[str], connect: Connect) -> dict[str, Any]:
        """Wait for messages, by the poll that all of this process share."""
        from airflow_provider_twilio.runtime.polling.many import wait_for_all

        arguments = self.arguments
        return await wait_for_all(
            sids,
            Delivery(arguments["accept_sent"], arguments["sent_grace"]),
            interval=arguments["poll_interval"],
            deadline=arguments["deadline"],
            begun=arguments["begun"],
            not_before=arguments["begun"],
            name=(arguments["twilio_conn_id"], arguments["account_sid"]),
            connect=connect,
        )

    async def _sids(self) -> list[str]:
        from asgiref.sync import sync_to_async

        key = self.arguments["key"]
        if self.arguments["checkpoint_path"] is not None:
            return await sync_to_async(_of_ledger)(self.arguments["checkpoint_path"], key)
        # Not of `self.task_instance`: a trigger that runs in `dag.test()` has none.
        owner = SimpleNamespace(
            **dict(zip(("dag_id", "run_id", "task_id", "map_index"), self.arguments["of_task"], strict=True))
        )
        found = [await get_own_xcom(owner, f"{key}.{number}") for number in range(self.arguments["xcoms"])]
        return list(chain.from_iterable(part or () for part in found))


def _of_ledger(checkpoint_path: str, key: str) -> list[str]:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_twilio.runtime.bulk.checkpoints import stored_sids
    from airflow_provider_twilio.runtime.state_store import FolderStore

    return list(chain.from_iterable(stored_sids(FolderStore(ObjectStoragePath(checkpoint_path)), key)))

"""The triggers that wait for the delivery of messages."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_twilio._airflow.compat import get_own_xcom
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.codes import RESENDABLE
from airflow_provider_twilio.api.messages import SID_PREFIXES, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import MESSAGES
from airflow_provider_twilio.triggers._stopping import cancel_if_failed
from airflow_provider_twilio.triggers.base import SharedPollTrigger, WaitTrigger

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.send_once import OnClear


class MessageDeliveryTrigger(WaitTrigger):
    """Wait in the triggerer until a message has been delivered, or cannot be.

    .. code-block:: python

        self.defer(
            trigger=MessageDeliveryTrigger(message_sid, poll_interval=10, deadline=time.time() + 3600),
            method_name="execute_complete",
        )

    The event has the keys ``sid``, ``outcome`` (``reached``, ``failed``, ``timeout`` or ``error``), ``reason``,
    ``status`` and further fields of the message, but no phone number and no body.

    :param message_sid: SID of the message, SM… or MM….
    :param twilio_conn_id: Airflow connection.
    :param account_sid: Account of the message; the connection's own by default.
    :param poll_interval: Seconds between two polls.
    :param deadline: End of the wait, in seconds since the epoch, at which the message is polled once more; None for no
        end.
    :param not_before: Time a scheduled message is due, in seconds since the epoch: it is not polled earlier.
    :param created: Time the message was created, in seconds since the epoch; now by default.
    :param accept_sent: Whether ``sent`` counts as success.
    :param sent_grace: Seconds after which ``sent`` counts as success; None for never.
    :param resendable_codes: Error codes after which sending again can help, which the reason of a failure mentions; by
        default :data:`airflow_provider_twilio.api.codes.RESENDABLE`.
    :param cancel_on_kill: Whether to cancel the message, if it is still scheduled, when a user kills the task.
    :param on_clear: ``resend`` if a cleared task sends again; ``skip`` if it waits for the same message again, which is
        then not canceled.

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
        super().__init__(locals())
        checks.sid("message_sid", message_sid, *SID_PREFIXES)

    @classmethod
    def from_spec(
        cls,
        spec: WaitSpec[Delivery],
        *,
        twilio_conn_id: str,
        account_sid: str | None,
        cancel_on_kill: bool = False,
        on_clear: OnClear = "resend",
    ) -> Self:
        """Build the trigger that waits as a spec says."""
        codes = spec.goal.resendable_codes
        return cls(
            spec.sid,
            twilio_conn_id=twilio_conn_id,
            account_sid=account_sid,
            poll_interval=spec.interval,
            deadline=spec.deadline,
            not_before=spec.not_before or None,
            created=spec.created,
            accept_sent=spec.goal.accept_sent,
            sent_grace=spec.goal.sent_grace,
            resendable_codes=None if codes == RESENDABLE else sorted(codes),
            cancel_on_kill=cancel_on_kill,
            on_clear=on_clear,
        )

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


class BulkDeliveryTrigger(SharedPollTrigger):
    """Wait in the triggerer until many messages have been delivered, or cannot be.

    The trigger's row in Airflow's database has no SIDs. They are read from where the task has stored them: the
    checkpoint folder, or XComs of the task.

    .. code-block:: python

        self.defer(
            trigger=BulkDeliveryTrigger(
                "twilio_bulk.0",
                checkpoint_path="s3://bucket/campaign",
                message_count=25_000,
                created=time.time(),
                deadline=time.time() + 3600,
            ),
            method_name="execute_complete",
        )

    The event has the keys ``delivered`` (a number), ``undelivered`` (numbers by error code or status) and ``waiting``
    (the number of messages without a final status at the deadline).

    :param key: Prefix of the checkpoints' names, or of the XCom keys.
    :param checkpoint_path: Checkpoint folder; None if the SIDs are in XComs.
    :param xcom_count: Number of XComs, whose keys are ``key`` with a dot and a number from 0.
    :param dag_id: DAG of the task that has pushed the XComs.
    :param run_id: Run of the task that has pushed the XComs.
    :param task_id: Task that has pushed the XComs.
    :param map_index: Map index of the task that has pushed the XComs; -1 if it is not mapped.
    :param message_count: Number of SIDs there must be.
    :param twilio_conn_id: Airflow connection.
    :param account_sid: Account of the messages; the connection's own by default.
    :param poll_interval: Seconds between two polls.
    :param deadline: End of the wait, in seconds since the epoch, at which the messages are polled once more.
    :param created: Time the first message was created, or is scheduled for, in seconds since the epoch: they are not
        polled earlier.
    :param accept_sent: Whether ``sent`` counts as delivered.
    :param sent_grace: Seconds after which ``sent`` counts as delivered; None for never.
    :param cancel_on_kill: Whether to cancel the messages that are still scheduled when a user marks the task as failed.

    https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    def __init__(
        self,
        key: str,
        *,
        checkpoint_path: str | None = None,
        xcom_count: int = 0,
        dag_id: str = "",
        run_id: str = "",
        task_id: str = "",
        map_index: int = -1,
        message_count: int = 0,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        poll_interval: float = 30.0,
        deadline: float = 0.0,
        created: float = 0.0,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__(locals())

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the SIDs, wait, and yield the number of each outcome in one event.

        If the checkpoint folder does not have the SIDs, the event has the key ``error``, and the task fails.

        :raises LookupError: The XComs do not have the SIDs of all messages.
        """
        from airflow_provider_twilio.runtime.polling.many import wait_for_all

        arguments = self.arguments
        sids, _ = await self._read_sids()
        if len(sids) != arguments["message_count"]:
            fault = f"found {len(sids)} SIDs, but {arguments['message_count']} messages were sent"
            if arguments["checkpoint_path"] is None:
                raise LookupError(fault)
            yield TriggerEvent({"error": _unreadable_folder(arguments["checkpoint_path"], fault)})  # type: ignore[no-untyped-call]
            return
        counts = await wait_for_all(
            sids,
            Delivery(arguments["accept_sent"], arguments["sent_grace"]),
            interval=arguments["poll_interval"],
            deadline=arguments["deadline"],
            created=arguments["created"],
            name=self.account,
            connect=self.connect,
        )
        yield TriggerEvent(counts)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the messages that are still scheduled, if a user has marked the task as failed."""
        if self.arguments["cancel_on_kill"] and time.time() < self.arguments["deadline"]:
            await cancel_if_failed(self.task_instance, self._read_sids, self.hook.aclient)

    async def _read_sids(self) -> tuple[list[str], int]:
        """Return the SIDs, and the number of messages that may have been sent without a stored SID."""
        from asgiref.sync import sync_to_async

        key = self.arguments["key"]
        if self.arguments["checkpoint_path"] is not None:
            return await sync_to_async(_sids_from_checkpoints)(self.arguments["checkpoint_path"], key)
        # A trigger that runs in `dag.test()` has no `task_instance`.
        task = SimpleNamespace(**{name: self.arguments[name] for name in ("dag_id", "run_id", "task_id", "map_index")})
        parts = [await get_own_xcom(task, f"{key}.{number}") for number in range(self.arguments["xcom_count"])]
        return list(chain.from_iterable(part or () for part in parts)), 0


def _unreadable_folder(checkpoint_path: str, fault: str) -> str:
    return (
        f"The triggerer on {socket.gethostname()} cannot read the checkpoints in {checkpoint_path}: {fault}. Use a"
        " checkpoint_path that all workers and the triggerer share, such as s3://bucket/checkpoints, or"
        " deferrable=False. All messages were sent. Clearing the task where the folder is continues the wait"
    )


def _sids_from_checkpoints(checkpoint_path: str, key: str) -> tuple[list[str], int]:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_twilio.runtime.bulk.checkpoints import stored_outcomes
    from airflow_provider_twilio.runtime.bulk.stored import count_unknown, known_sids
    from airflow_provider_twilio.runtime.state_store import FolderStore

    store = FolderStore(ObjectStoragePath(checkpoint_path))
    outcomes = list(chain.from_iterable(stored_outcomes(store, key)))
    return known_sids(outcomes), count_unknown(outcomes)

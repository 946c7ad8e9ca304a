"""The trigger that waits for the completion of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import SID_PREFIXES, Calls
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Completion
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import CALLS
from airflow_provider_twilio.triggers.base import WaitTrigger

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.send_once import OnClear


class CallCompletionTrigger(WaitTrigger):
    """Wait in the triggerer until a call has ended.

    .. code-block:: python

        self.defer(
            trigger=CallCompletionTrigger(call_sid, poll_interval=10, deadline=time.time() + 3600),
            method_name="execute_complete",
        )

    The event has the keys ``sid``, ``outcome`` (``reached``, ``failed``, ``timeout`` or ``error``), ``reason``,
    ``status`` and further fields of the call, but no phone number.

    :param call_sid: SID of the call, CA….
    :param twilio_conn_id: Airflow connection.
    :param account_sid: Account of the call; the connection's own by default.
    :param poll_interval: Seconds between two polls.
    :param deadline: End of the wait, in seconds since the epoch, at which the call is polled once more; None for no
        end.
    :param created: Time the call was created, in seconds since the epoch; now by default.
    :param accept: Final statuses that count as success in addition to ``completed``.
    :param answered_by: Who must have answered, such as ``human``; anybody by default.
    :param hang_up_on_kill: Whether to hang up when a user kills the task.
    :param on_clear: ``resend`` if a cleared task calls again; ``skip`` if it waits for the same call again, which is
        then not hung up.

    https://www.twilio.com/docs/voice/api/call-resource#call-status-values
    """

    source = CALLS

    def __init__(
        self,
        call_sid: str,
        *,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        created: float | None = None,
        accept: Sequence[str] = (),
        answered_by: Sequence[str] = (),
        hang_up_on_kill: bool = False,
        on_clear: OnClear = "resend",
    ) -> None:
        super().__init__(locals() | {"accept": list(accept), "answered_by": list(answered_by)})
        checks.sid("call_sid", call_sid, *SID_PREFIXES)

    @classmethod
    def from_spec(
        cls,
        spec: WaitSpec[Completion],
        *,
        twilio_conn_id: str,
        account_sid: str | None,
        hang_up_on_kill: bool = False,
        on_clear: OnClear = "resend",
    ) -> Self:
        """Build the trigger that waits as a spec says."""
        return cls(
            spec.sid,
            twilio_conn_id=twilio_conn_id,
            account_sid=account_sid,
            poll_interval=spec.interval,
            deadline=spec.deadline,
            created=spec.created,
            accept=spec.goal.accept,
            answered_by=spec.goal.answered_by,
            hang_up_on_kill=hang_up_on_kill,
            on_clear=on_clear,
        )

    @property
    def sid(self) -> str:
        return str(self.arguments["call_sid"])

    @property
    def goal(self) -> Completion:
        return Completion(tuple(self.arguments["accept"]), tuple(self.arguments["answered_by"]))

    def stop_request(self) -> Request[Any] | None:
        return Calls.update(self.sid, status="completed") if self.arguments["hang_up_on_kill"] else None

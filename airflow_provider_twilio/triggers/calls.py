"""Wait in the triggerer for a call's completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import KINDS, Calls
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Completion
from airflow_provider_twilio.runtime.polling.status import CALLS
from airflow_provider_twilio.triggers.base import WaitTrigger

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.send_once import OnClear


class CallCompletionTrigger(WaitTrigger):
    """Wait until a call is over, and tell how it went.

    :param call_sid: the call, CA….
    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account the call belongs to, where it isn't the connection's own.
    :param poll_interval: seconds between two looks.
    :param deadline: the end of the wait, in seconds since the epoch; None for no end. A last look is taken then.
    :param created: when the call was created, in seconds since the epoch.
    :param accept: final statuses to take for success beside ``completed``.
    :param answered_by: what must have picked up, such as ``human``.
    :param hang_up_on_kill: hang up when a user kills the task.
    :param on_clear: ``resend`` where Clear kills the task, ``skip`` where it waits on for the same after it.

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
        arguments: dict[str, Any] = dict(locals()) | {"accept": list(accept), "answered_by": list(answered_by)}
        super().__init__(**{name: arguments[name] for name in arguments if name not in ("self", "__class__")})
        checks.sid("call_sid", call_sid, *KINDS)

    @property
    def sid(self) -> str:
        return str(self.arguments["call_sid"])

    @property
    def goal(self) -> Completion:
        return Completion(tuple(self.arguments["accept"]), tuple(self.arguments["answered_by"]))

    def stop_request(self) -> Request[Any] | None:
        return Calls.update(self.sid, status="completed") if self.arguments["hang_up_on_kill"] else None

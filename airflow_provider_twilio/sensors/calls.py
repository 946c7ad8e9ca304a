"""Wait for a call's completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import FINAL, KINDS
from airflow_provider_twilio.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow_provider_twilio.triggers.calls import CallCompletionTrigger


class CallCompletionSensor(WaitSensor):
    """Wait until a call is over: ``completed`` is success, all other ends fail the task, whatever its ``retries``.

    ``completed`` says that something picked up, which may be a machine: ``answered_by`` asks for more.

    :param call_sid: the call, CA…. (templated)
    :param accept: final statuses to take for success too, such as ``no-answer``.
    :param answered_by: what must have picked up, such as ``human``; the call needs ``machine_detection`` for it.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account the call belongs to, where it isn't the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#call-status-values
    """

    template_fields = ("call_sid", "twilio_conn_id", "account_sid")

    def __init__(
        self,
        *,
        call_sid: str,
        accept: Sequence[str] = (),
        answered_by: Sequence[str] | str = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.call_sid = call_sid
        self.check_sid("call_sid", call_sid, *KINDS)
        self.accept = accept
        self.answered_by = answered_by
        for status in accept:
            checks.choice("accept", status, sorted(FINAL))

    def trigger(self, *, deadline: float | None, created: float) -> CallCompletionTrigger:
        from airflow_provider_twilio.triggers.calls import CallCompletionTrigger

        return CallCompletionTrigger(
            self.call_sid,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poke_interval,
            deadline=deadline,
            created=created,
            accept=list(self.accept),
            answered_by=[self.answered_by] if isinstance(self.answered_by, str) else list(self.answered_by),
        )

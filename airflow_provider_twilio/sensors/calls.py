"""The sensor that waits for the completion of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import FINAL, SID_PREFIXES
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.sensors.base import WaitSensor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_twilio._airflow.parameters import SensorParameters
    from airflow_provider_twilio.api.verdicts import Completion
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.triggers.calls import CallCompletionTrigger


class CallCompletionSensor(WaitSensor):
    """Wait until a call has ended, and fail if it was not answered.

    ``completed`` is success. Every other final status fails the task without retry.

    ``completed`` says that the call was answered, possibly by a machine. ``answered_by`` asks for more.

    .. code-block:: python

        CallCompletionSensor(
            task_id="answered",
            call_sid="{{ ti.xcom_pull('call')['sid'] }}",
            answered_by="human",
            poke_interval=30,
            timeout=3600,
            deferrable=True,
        )

    The final status, the duration, the price and the dates go to XCom, without phone numbers. ``poke_interval``,
    ``timeout``, ``mode``, ``soft_fail`` and ``never_fail`` are Airflow's own.

    :param call_sid: SID of the call, CA…. (templated)
    :param accept: Final statuses that count as success in addition to ``completed``, such as ``no-answer``.
    :param answered_by: Who must have answered, such as ``human``; anybody by default. The call needs
        ``machine_detection`` for it.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account of the call; the connection's own by default. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#call-status-values
    """

    template_fields = ("call_sid", "twilio_conn_id", "account_sid")

    def __init__(
        self,
        *,
        call_sid: str,
        accept: Sequence[str] = (),
        answered_by: Sequence[str] | str = (),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, deferrable=deferrable, **kwargs)
        self.call_sid = call_sid
        self.accept = accept
        self.answered_by = answered_by
        self._check_literals(call_sid=call_sid, accept=accept)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        cls._check_sid("call_sid", values, *SID_PREFIXES)
        for status in values.get("accept") or ():
            checks.choice("accept", status, sorted(FINAL))

    @property
    def _goal(self) -> Completion:
        from airflow_provider_twilio.api.verdicts import Completion

        self._check_parameters({"accept": self.accept})  # a mapped value is not checked before
        answered_by = (self.answered_by,) if isinstance(self.answered_by, str) else tuple(self.answered_by)
        return Completion(tuple(self.accept), answered_by)

    def _build_trigger(self, spec: WaitSpec[Completion]) -> CallCompletionTrigger:
        from airflow_provider_twilio.triggers.calls import CallCompletionTrigger

        return CallCompletionTrigger.from_spec(spec, twilio_conn_id=self.twilio_conn_id, account_sid=self.account_sid)

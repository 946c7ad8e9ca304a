"""The sensor that waits for the delivery of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio.api.messages import SID_PREFIXES
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.sensors.base import WaitSensor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_twilio._airflow.parameters import SensorParameters
    from airflow_provider_twilio.api.verdicts import Delivery
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger


class MessageDeliverySensor(WaitSensor):
    """Wait until a message has been delivered, and fail as soon as it cannot be.

    ``delivered`` and ``read`` are success. ``failed``, ``undelivered`` and ``canceled`` fail the task without retry,
    with Twilio's error code and its meaning. ``queued`` and ``sent`` are neither.

    .. code-block:: python

        MessageDeliverySensor(
            task_id="delivered",
            message_sid="{{ ti.xcom_pull('send')['sid'] }}",
            poke_interval=30,
            timeout=3600,
            deferrable=True,
        )

    The final status, the price and the dates go to XCom, without phone numbers and without the body.
    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and ``never_fail`` are Airflow's own.

    :param message_sid: SID of the message, SM… or MM…. (templated)
    :param accept_sent: Whether ``sent``, which says that the carrier has the message, counts as success.
    :param sent_grace: Seconds after which ``sent`` counts as success, since many carriers report nothing further; None
        for never.
    :param resendable_codes: Error codes after which sending again can help, which the failure's reason mentions; by
        default :data:`airflow_provider_twilio.api.codes.RESENDABLE`.
    :param skip_opted_out: Whether to skip the task instead of failing it if the recipient has opted out.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account of the message; the connection's own by default. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    template_fields = ("message_sid", "twilio_conn_id", "account_sid")

    def __init__(
        self,
        *,
        message_sid: str,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        resendable_codes: Sequence[int] | None = None,
        skip_opted_out: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, deferrable=deferrable, **kwargs)
        self.message_sid = message_sid
        self.accept_sent = accept_sent
        self.sent_grace = sent_grace
        self.resendable_codes = resendable_codes
        self.skip_opted_out = skip_opted_out
        self._check_literals(message_sid=message_sid)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        cls._check_sid("message_sid", values, *SID_PREFIXES)

    @property
    def _goal(self) -> Delivery:
        from airflow_provider_twilio.api.codes import RESENDABLE
        from airflow_provider_twilio.api.verdicts import Delivery

        codes = RESENDABLE if self.resendable_codes is None else frozenset(self.resendable_codes)
        return Delivery(self.accept_sent, self.sent_grace, codes)

    def _build_trigger(self, spec: WaitSpec[Delivery]) -> MessageDeliveryTrigger:
        from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

        return MessageDeliveryTrigger.from_spec(spec, twilio_conn_id=self.twilio_conn_id, account_sid=self.account_sid)

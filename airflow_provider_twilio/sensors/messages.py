"""Wait for a message's delivery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.messages import KINDS
from airflow_provider_twilio.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger


class MessageDeliverySensor(WaitSensor):
    """Wait until a message is delivered, and fail at once if it can't be any more.

    ``delivered`` and ``read`` are success. ``failed``, ``undelivered`` and ``canceled`` fail the task, whatever its
    ``retries``, with Twilio's error code and what it means. ``queued`` and ``sent`` are neither.

    :param message_sid: the message, SM… or MM…. (templated)
    :param accept_sent: take ``sent`` (the carrier has it) for success.
    :param sent_grace: take ``sent`` for success when it has lasted so many seconds: many carriers report no more.
    :param resendable_codes: error codes after which sending again can help, for the failure's words.
    :param skip_opted_out: skip instead of failing when the recipient had opted out.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account the message belongs to, where it isn't the connection's own. (templated)

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.message_sid = message_sid
        self.check_sid("message_sid", message_sid, *KINDS)
        self.accept_sent = accept_sent
        self.sent_grace = sent_grace
        self.resendable_codes = resendable_codes
        self.skip_opted_out = skip_opted_out

    def trigger(self, *, deadline: float | None, created: float) -> MessageDeliveryTrigger:
        from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

        return MessageDeliveryTrigger(
            self.message_sid,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poke_interval,
            deadline=deadline,
            created=created,
            accept_sent=self.accept_sent,
            sent_grace=self.sent_grace,
            resendable_codes=None if self.resendable_codes is None else sorted(self.resendable_codes),
        )

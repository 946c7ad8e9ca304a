"""Wait in the triggerer for a message's delivery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.codes import RESENDABLE
from airflow_provider_twilio.api.core import Request
from airflow_provider_twilio.api.messages import KINDS, Delivery, Messages
from airflow_provider_twilio.poll import MESSAGES
from airflow_provider_twilio.triggers.base import WaitTrigger


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
    :param resendable: error codes after which sending again can help, for the reason's words.
    :param cancel_on_kill: cancel the message, if it is still scheduled, when a user kills the task.

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
        resendable: Sequence[int] | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        arguments: dict[str, Any] = dict(locals())
        super().__init__(**{name: arguments[name] for name in arguments if name not in ("self", "__class__")})
        checks.sid("message_sid", message_sid, *KINDS)

    @property
    def sid(self) -> str:
        return str(self.arguments["message_sid"])

    @property
    def goal(self) -> Delivery:
        codes = self.arguments["resendable"]
        return Delivery(
            self.arguments["accept_sent"],
            self.arguments["sent_grace"],
            RESENDABLE if codes is None else frozenset(codes),
        )

    def stop(self) -> Request[Any] | None:
        return Messages.update(self.sid, status="canceled") if self.arguments["cancel_on_kill"] else None

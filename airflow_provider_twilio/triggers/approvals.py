"""The trigger that waits for the reply to an approval question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.messages import SID_PREFIXES
from airflow_provider_twilio.runtime.polling.approvals import ApprovalSpec, wait_for_reply
from airflow_provider_twilio.triggers.base import SharedPollTrigger


class ApprovalTrigger(SharedPollTrigger):
    """Wait in the triggerer until a phone has replied to a question, or cannot reply.

    The trigger shares a poll for inbound messages with the other triggers of the account. When the phone has sent a
    message, the trigger reads the conversation between the phone and the sender, to determine which question the
    message was meant for.

    .. code-block:: python

        self.defer(
            trigger=ApprovalTrigger(message_sid, to="+14155550142", created=asked, deadline=asked + 1800, code="4821"),
            method_name="execute_complete",
        )

    The event has the keys ``sid``, ``outcome``, ``reason``, and after a reply ``answer`` (``yes`` or ``no``),
    ``reply_sid`` and ``answered_at``, but no phone number and no body.

    :param message_sid: SID of the question's message.
    :param to: Phone that was asked.
    :param created: Time the question was sent, in seconds since the epoch.
    :param deadline: Time until which a reply counts, in seconds since the epoch.
    :param from_: Number that asked; None if Twilio has not chosen it yet.
    :param code: Code that a reply must repeat; None if it need not.
    :param poll_interval: Seconds between two polls.
    :param twilio_conn_id: Airflow connection.
    :param account_sid: Account that asked; the connection's own by default.

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    def __init__(
        self,
        message_sid: str,
        *,
        to: str,
        created: float,
        deadline: float,
        from_: str | None = None,
        code: str | None = None,
        poll_interval: float = 30.0,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
    ) -> None:
        super().__init__(locals())
        checks.sid("message_sid", message_sid, *SID_PREFIXES)
        self.spec = ApprovalSpec(message_sid, to, created, deadline, from_, code, poll_interval)

    @classmethod
    def from_spec(cls, spec: ApprovalSpec, *, twilio_conn_id: str, account_sid: str | None) -> Self:
        """Build the trigger that waits as a spec says."""
        return cls(
            spec.sid,
            to=spec.to,
            created=spec.created,
            deadline=spec.deadline,
            from_=spec.from_,
            code=spec.code,
            poll_interval=spec.interval,
            twilio_conn_id=twilio_conn_id,
            account_sid=account_sid,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the outcome in one event."""
        event = await wait_for_reply(self.spec, self.account, self.connect, self.hook.aclient)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

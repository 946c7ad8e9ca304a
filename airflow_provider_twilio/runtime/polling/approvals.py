"""Waiting for the reply to an approval question, in a triggerer or on a worker.

Inbound messages only say that there is something to read: the conversation between the phone and the sender, as Twilio
lists it, determines which question a reply was meant for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import AuthenticationFailed, NotFound, TwilioError
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.privacy import mask
from airflow_provider_twilio.runtime.approval import Question, WrongCodes, conversation, find_reply
from airflow_provider_twilio.runtime.polling.events import (
    ApprovalEvent,
    approval_event,
    missing,
    rejected,
    wait_event,
)
from airflow_provider_twilio.runtime.polling.inbound import Cursor, Filter, Listener, subscribe, timestamp
from airflow_provider_twilio.runtime.polling.shared import Connect, PollFailed
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import MESSAGES, NOT_FOUND_GRACE, wait_for

if TYPE_CHECKING:
    from airflow_provider_twilio.api.operation import BlockingClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApprovalSpec:
    """The description of a wait for the reply to a question.

    Times are in seconds since the epoch. The values are checked on construction.

    :param sid: SID of the question's message; empty while it has not been sent.
    :param to: Phone that was asked.
    :param created: Time the question was sent.
    :param deadline: Time until which a reply counts.
    :param from_: Number that asked; None if the messaging service has not chosen it yet.
    :param code: Code that a reply must repeat; None if it need not.
    :param interval: Seconds between two polls.
    :raises BadParameter: A value is invalid.
    """

    sid: str
    to: str
    created: float
    deadline: float
    from_: str | None = None
    code: str | None = None
    interval: float = 30.0

    def __post_init__(self) -> None:
        checks.recipient("to", self.to)
        checks.seconds("created", self.created)
        checks.seconds("deadline", self.deadline)
        checks.positive_seconds("poll_interval", self.interval)

    @property
    def question(self) -> Question:
        """The question, as replies are matched with it."""
        return Question(self.code, self.created, self.deadline - self.created)


async def wait_for_reply(spec: ApprovalSpec, name: Hashable, connect: Connect, open_client: Connect) -> ApprovalEvent:
    """Wait until the phone has replied, or cannot reply, and return the event.

    :param name: Name of the connection and account: see
        :func:`airflow_provider_twilio.runtime.polling.status.wait_for`.
    :param connect: Function that opens a client for the shared polls.
    :param open_client: Function that opens a client for reading the conversation.
    """
    listening = asyncio.ensure_future(_listen(spec, name, connect, open_client))
    arriving = asyncio.ensure_future(_wait_for_failed_delivery(spec, name, connect))
    try:
        await asyncio.wait({listening, arriving}, return_when=asyncio.FIRST_COMPLETED)
        failed = arriving.result() if arriving.done() else None
        return failed if failed is not None and not listening.done() else await listening
    finally:
        for task in (listening, arriving):
            task.cancel()
        await asyncio.gather(listening, arriving, return_exceptions=True)


def wait_for_reply_blocking(spec: ApprovalSpec, client: BlockingClient) -> ApprovalEvent:
    """Wait on a worker until the phone has replied or cannot reply, and return the event.

    The task occupies its worker slot meanwhile.
    """
    while True:
        is_last = time.time() >= spec.deadline
        event = check_reply_once(spec, client)
        if event is not None:
            return event
        if is_last:
            return _no_reply(spec)
        time.sleep(max(0.0, min(spec.interval, spec.deadline - time.time())))


def check_reply_once(spec: ApprovalSpec, client: BlockingClient) -> ApprovalEvent | None:
    """Read the question's status and the conversation once, and return the event.

    Return None if there is none yet.
    """
    number, failed = spec.from_, None
    try:
        try:
            record = client.send(Messages.fetch(spec.sid))
        except NotFound as error:  # sent just now; or deleted since, while the phone still has it
            if number is None:
                is_recent = time.time() - spec.created < NOT_FOUND_GRACE
                return None if is_recent else approval_event(missing(spec.sid, error))
        else:
            number = number or record.from_
            verdict = Delivery().verdict(record, datetime.now(UTC))
            if verdict.outcome == "failed":
                failed = approval_event(wait_event(spec.sid, "failed", verdict.reason, record))
        if number:
            lists = conversation(spec.question, spec.to, number)
            messages = [message for listing in lists for message in client.iter_records(listing)]
            return _find_event(spec, number, messages) or failed
    except TwilioError as error:
        if error.permanent:
            return approval_event(rejected(spec.sid, error))
        log.warning("Cannot read the replies to %s, trying again after the polling interval: %s", spec.sid, error)
        return None
    return failed


async def _wait_for_failed_delivery(spec: ApprovalSpec, name: Hashable, connect: Connect) -> ApprovalEvent | None:
    """Wait for the question's final status, and return the event if it was not delivered.

    No reply can follow then.
    """
    wait = WaitSpec(spec.sid, Delivery(), interval=spec.interval, deadline=spec.deadline, created=spec.created)
    with suppress(PollFailed):
        event = await wait_for(wait, MESSAGES, name, connect)
        if event["outcome"] == "failed":
            return approval_event(event)
    return None


async def _listen(spec: ApprovalSpec, name: Hashable, connect: Connect, open_client: Connect) -> ApprovalEvent:
    """Wait for messages from the phone, and read the conversation whenever there is a new one."""
    received, read_error = list[Message](), ""
    cursor, from_phone = Cursor(spec.created), Filter(from_=spec.to)
    unread = False
    listener = Listener(spec.from_, interval=spec.interval, cursor=cursor, deadline=spec.deadline)
    try:
        async with subscribe(listener, name, connect):
            while True:
                snapshot = await listener.next_snapshot()
                new = cursor.advance(snapshot, from_phone)
                received += new
                unread = unread or bool(new)
                if unread:
                    try:
                        event = await _read_conversation(spec, received, open_client)
                    except TwilioError as error:
                        # The shared poll limits the time for which rejected credentials are tried again.
                        if error.permanent and not isinstance(error, AuthenticationFailed):
                            raise
                        read_error = str(error)
                        log.warning("Cannot read the replies to %s, trying again at the next poll: %s", spec.sid, error)
                    else:
                        unread = False
                        if event is not None:
                            return event
                if snapshot.last:
                    return _no_reply(spec, snapshot.error or (read_error if unread else ""))
    except TwilioError as error:
        return approval_event(rejected(spec.sid, error))


async def _read_conversation(
    spec: ApprovalSpec, received: Iterable[Message], open_client: Connect
) -> ApprovalEvent | None:
    """List the conversation, and return the event if it has the reply to the question."""
    async with open_client() as client:
        number = spec.from_ or (await client.send(Messages.fetch(spec.sid))).from_
        if not number:  # the reply was received before Twilio's record has the sender: the next poll reads again
            raise TwilioError(f"{spec.sid}: Twilio has not chosen its sender yet")
        lists = conversation(spec.question, spec.to, number)
        messages = [message for listing in lists async for message in client.iter_records(listing)]
    return _find_event(spec, number, [*messages, *received])


def _find_event(spec: ApprovalSpec, number: str, messages: Iterable[Message]) -> ApprovalEvent | None:
    """Return the event of the reply to the question, or None if the messages have none."""
    by_sid = {str(message.sid): message for message in messages if number in (message.to, message.from_)}
    wrong_codes = WrongCodes()
    found = find_reply(spec.question, spec.sid, list(by_sid.values()), wrong_codes)
    if wrong_codes.paused_until:
        log.warning(
            "Received %d wrong codes from %s for %s, possibly from a forged sender: ignoring its replies until %s",
            wrong_codes.count,
            mask(spec.to),
            spec.sid,
            datetime.fromtimestamp(wrong_codes.paused_until, UTC).isoformat(),
        )
    if found is None:
        return None
    reply, message = found
    if reply.answer == "stop":
        event = approval_event(wait_event(spec.sid, "failed", f"the phone replied to {spec.sid} with STOP"))
    else:
        event = approval_event(wait_event(spec.sid, "reached"))
        event["answer"] = reply.answer
    event["reply_sid"] = str(message.sid)
    event["answered_at"] = datetime.fromtimestamp(timestamp(message), UTC).isoformat()
    return event


def _no_reply(spec: ApprovalSpec, error: str = "") -> ApprovalEvent:
    reason = f"no reply to {spec.sid} in time" + (f": {error}" if error else "")
    return approval_event(wait_event(spec.sid, "timeout", reason))

"""Wait for the answer to a question by message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import NotFound, TwilioError
from airflow_provider_twilio.api.messages import KINDS, Message, Messages
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.runtime.approval import Question, conversation, find_reply
from airflow_provider_twilio.runtime.polling.events import missing, rejected, wait_event
from airflow_provider_twilio.runtime.polling.inbound import Cursor, Filter, Listener, subscribe, timestamp
from airflow_provider_twilio.runtime.polling.shared import PollFailed
from airflow_provider_twilio.runtime.polling.status import MESSAGES, NOT_FOUND_GRACE, StatusWait, wait_for
from airflow_provider_twilio.triggers.base import SharedPollTrigger

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client


class AnswerTrigger(SharedPollTrigger):
    """Wait until a phone has answered a question, or can't.

    It listens together with all who listen for the account's messages. What it hears from the phone makes it read what
    phone and sender have written to each other, which tells what was meant.

    :param message_sid: the question's message.
    :param to: the phone.
    :param from_: the number that asked; None if Twilio has not chosen it yet.
    :param code: what the answer must name; None if it need not.
    :param created: when the question was asked, in seconds since the epoch.
    :param deadline: until when an answer counts, in seconds since the epoch.
    :param poll_interval: seconds between two looks.
    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account that asked, where it isn't the connection's own.
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
        arguments: dict[str, Any] = dict(locals())
        super().__init__(**{name: arguments[name] for name in arguments if name not in ("self", "__class__")})
        checks.sid("message_sid", message_sid, *KINDS)
        checks.recipient("to", to)
        self.sid = message_sid
        self.wanted = Filter(from_=to)
        self.question = Question(code, created, deadline - created)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and tell the outcome in one event: without the phone's number and without its words."""
        listening = asyncio.ensure_future(self._listen())
        arriving = asyncio.ensure_future(self._arrive())
        try:
            await asyncio.wait({listening, arriving}, return_when=asyncio.FIRST_COMPLETED)
            lost = arriving.result() if arriving.done() else None
            told = lost if lost is not None and not listening.done() else await listening
        finally:
            for task in (listening, arriving):
                task.cancel()
            await asyncio.gather(listening, arriving, return_exceptions=True)
        yield TriggerEvent(told)  # type: ignore[no-untyped-call]

    async def _arrive(self) -> dict[str, Any] | None:
        """Wait until the question has arrived or is lost; tell of a loss, which no answer can follow."""
        arguments = self.arguments
        wait = StatusWait(
            self.sid,
            Delivery(),
            interval=arguments["poll_interval"],
            deadline=arguments["deadline"],
            created=arguments["created"],
        )
        with suppress(PollFailed):
            told = await wait_for(wait, MESSAGES, self.account, self.connect)
            if told["outcome"] == "failed":
                return told
        return None

    async def _listen(self) -> dict[str, Any]:
        arguments, heard, trouble = self.arguments, list[Message](), ""
        cursor = Cursor(arguments["created"])
        unread = False
        listener = Listener(
            arguments["from_"],
            interval=arguments["poll_interval"],
            cursor=cursor,
            deadline=arguments["deadline"],
        )
        try:
            async with subscribe(listener, self.account, self.connect):
                while True:
                    look = await listener.next_snapshot()
                    new = cursor.advance(look, self.wanted)
                    heard += new
                    unread = unread or bool(new)
                    if unread:
                        try:
                            told = await self._read(heard)
                        except TwilioError as error:
                            if error.permanent:
                                raise
                            trouble = str(error)
                        else:
                            unread = False
                            if told is not None:
                                return told
                    if look.last:
                        return self._late(look.error or (trouble if unread else ""))
        except TwilioError as error:
            return rejected(self.sid, error)

    async def _read(self, heard: Iterable[Message]) -> dict[str, Any] | None:
        """Read what was written to and fro, and tell what was answered."""
        async with self.hook.aclient() as client:
            number = self.arguments["from_"] or (await client.send(Messages.fetch(self.sid))).from_
            if not number:  # heard before Twilio's record says it: the next look reads again
                raise TwilioError(f"{self.sid}: Twilio has not told yet which number asked")
            lists = conversation(self.question, self.arguments["to"], number)
            log = [message for listing in lists async for message in client.iter_records(listing)]
        return self._answer(number, [*log, *heard])

    def _answer(self, number: str, log: Iterable[Message]) -> dict[str, Any] | None:
        """Tell what was answered to the number that asked."""
        said = {str(message.sid): message for message in log if number in (message.to, message.from_)}
        found = find_reply(self.question, self.sid, list(said.values()))
        if found is None:
            return None
        reply, message = found
        at = datetime.fromtimestamp(timestamp(message), UTC).isoformat()
        facts = {"reply_sid": message.sid, "answered_at": at}
        if reply.answer == "stop":
            return {**wait_event(self.sid, "failed", f"the phone has answered {self.sid} with STOP"), **facts}
        return {**wait_event(self.sid, "reached"), "answer": reply.answer, **facts}

    def _late(self, trouble: str = "") -> dict[str, Any]:
        return wait_event(
            self.sid, "timeout", f"{self.sid} was not answered in time" + (f": {trouble}" if trouble else "")
        )

    def wait(self, client: Client) -> dict[str, Any]:
        """Wait on a worker, whose slot it holds meanwhile, and tell the outcome."""
        while True:
            last = time.time() >= self.arguments["deadline"]
            told = self.check(client)
            if told is not None:
                return told
            if last:
                return self._late()
            time.sleep(max(0.0, min(self.arguments["poll_interval"], self.arguments["deadline"] - time.time())))

    def check(self, client: Client) -> dict[str, Any] | None:
        """Look once, and tell the outcome; None while there is none."""
        number, lost = self.arguments["from_"], None
        try:
            try:
                record = client.send(Messages.fetch(self.sid))
            except NotFound as error:  # just sent, perhaps; or deleted since, and the phone still has it
                if number is None:
                    return (
                        None if time.time() - self.arguments["created"] < NOT_FOUND_GRACE else missing(self.sid, error)
                    )
            else:
                number = number or record.from_
                verdict = Delivery().verdict(record, datetime.now(UTC))
                lost = wait_event(self.sid, "failed", verdict.reason, record) if verdict.outcome == "failed" else None
            if number:
                lists = conversation(self.question, self.arguments["to"], number)
                log = [message for listing in lists for message in client.iter_records(listing)]
                return self._answer(number, log) or lost
        except TwilioError as error:
            if error.permanent:
                return rejected(self.sid, error)
            self.log.warning("Waiting on: %s", error)
            return None
        return lost

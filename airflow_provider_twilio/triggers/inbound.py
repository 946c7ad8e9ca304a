"""Tell of inbound messages: for a DAG that is to start when one arrives."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_twilio._airflow.compat import AssetStore, asset_stores
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.defaults import LOOKBACK, OVERLAP
from airflow_provider_twilio.runtime.polling.inbound import Cursor, Filter, Listener, Snapshot, subscribe
from airflow_provider_twilio.runtime.polling.shared import PollFailed
from airflow_provider_twilio.triggers.base import SharedPollTrigger

log = logging.getLogger(__name__)

INCLUDABLE = ("from", "to", "body", "num_media")
TAKEN_OVER = 3.0
"""Seconds within which an event has left this process: Airflow fetches events once a second."""
ERROR_DELAYS = (60.0, 300.0)
"""Seconds before what Twilio does not accept is tried again: at first, and then."""


class InboundMessageTrigger(SharedPollTrigger, BaseEventTrigger):
    """Tell of messages that come in, for an ``AssetWatcher``: a DAG scheduled on the asset starts.

    One event tells of all that is new, by SID: ``{"sids": ["SM…"]}``. It is told at least once, over restarts of the
    triggerer too where Airflow is 3.3 or later: it may come again, and Airflow may hold it back till the next one. Read
    what is new by :class:`~airflow_provider_twilio.operators.inbound.ReadInboundMessagesOperator`.

    :param to: only what comes in at this number or address of the account.
    :param from_: only what comes from this phone.
    :param pattern: only a body in which this regular expression is found, whatever its case.
    :param include: further fields of each message for the event, under ``messages``: ``from``, ``to``, ``body``,
        ``num_media``. Airflow logs events and shows them to all who may see the asset.
    :param poll_interval: seconds between two looks; all watchers of an account share them.
    :param lookback: seconds before its first start from when on messages count; before Airflow 3.3, before every start.
    :param overlap: seconds by which a message may show late in Twilio's list.
    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account whose messages they are, where it isn't the connection's own.

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    def __init__(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        pattern: str | None = None,
        include: Sequence[str] = (),
        poll_interval: float = 30.0,
        lookback: float = LOOKBACK,
        overlap: float = OVERLAP,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
    ) -> None:
        arguments: dict[str, Any] = dict(locals())
        kept = {name: arguments[name] for name in arguments if name not in ("self", "__class__")}
        super().__init__(**{**kept, "include": sorted(include)})
        for field in include:
            checks.choice("include", field, INCLUDABLE)
        if account_sid is not None:
            checks.sid("account_sid", account_sid, "AC")
        self.wanted = Filter(to, from_, pattern)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Tell of what comes in, for ever. What Twilio does not accept is logged, and tried again later."""
        rests = iter(ERROR_DELAYS)
        rest = next(rests)
        cursor = _CursorStore(self.arguments, asset_stores(self))
        await cursor.load()
        while True:
            listener = Listener(self.arguments["to"], interval=self.arguments["poll_interval"], cursor=cursor.cursor)
            try:
                async with subscribe(listener, self.account, self.connect):
                    while True:
                        look = await listener.next_snapshot()
                        rests = iter(ERROR_DELAYS)
                        rest = next(rests)
                        await cursor.save()
                        if new := cursor.advance(look, self.wanted):
                            yield TriggerEvent(self.told(new))  # type: ignore[no-untyped-call]
            except (TwilioError, PollFailed) as error:
                # Airflow would start a watcher that raises anew every few seconds, and say so in no task's log.
                log.error(
                    "Inbound messages can't be read by the connection %s, which is tried again in %.0f s. %s: %s",
                    self.arguments["twilio_conn_id"],
                    rest,
                    type(error).__name__,
                    error,
                )
            await asyncio.sleep(rest * random.uniform(1.0, 1.25))  # noqa: S311 (no secret is made of it)
            rest = next(rests, rest)

    def told(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Tell of messages in plain JSON: no more of them than was asked for."""
        event: dict[str, Any] = {"sids": [message["sid"] for message in messages]}
        if include := self.arguments["include"]:
            fields = ("sid", "date_sent", *include)
            event["messages"] = [{name: message.get(name) for name in fields} for message in messages]
        return event


class _CursorStore:
    """Keep a cursor in the state stores of the assets that are watched, where there are any.

    What an event has told is stored only once Airflow has stored the event: a triggerer that dies in between tells it
    again.
    """

    def __init__(self, arguments: dict[str, Any], stores: Sequence[AssetStore]) -> None:
        self.cursor = Cursor(time.time() - arguments["lookback"], arguments["overlap"])
        self._stores = stores
        # An asset may have several watchers; each has its own cursor, whatever its interval.
        about = [arguments[name] for name in ("twilio_conn_id", "account_sid", "to", "from_", "pattern")]
        self._key = f"twilio_inbound.{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"
        self._kept = self.cursor.after
        self._told = False

    async def load(self) -> None:
        """Go on from what is stored, or store where this begins: what comes in until it is started again counts."""
        self.cursor.resume([await store.get(self._key) for store in self._stores])
        await self._write()

    def advance(self, look: Snapshot, wanted: Filter) -> list[Message]:
        new = self.cursor.advance(look, wanted)
        self._told = self._told or bool(new)
        return new

    async def save(self) -> None:
        """Store the cursor, if there is something to it. Everything told before has left this process by then.

        Airflow's supervisor answers requests and stores events by turns: an event that it had received before it
        answered is stored before it takes the next request.
        """
        try:
            if self._told and self._stores:
                await self._stores[0].get(self._key)
                await asyncio.sleep(TAKEN_OVER)
                await self._stores[0].get(self._key)
                await self._write()
            elif self.cursor.after - self._kept >= self.cursor.overlap:
                await self._write()
        except Exception:  # at the worst it is told again
            log.warning("The cursor of inbound messages could not be stored", exc_info=True)

    async def _write(self) -> None:
        for store in self._stores:
            await store.set(self._key, self.cursor.as_json())
        self._kept, self._told = self.cursor.after, False

"""The trigger that starts a DAG when a message comes in."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, cast

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_twilio._airflow.compat import AssetStore, asset_stores
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.defaults import LOOKBACK, OVERLAP
from airflow_provider_twilio.runtime.polling.events import InboundEvent, InboundFields
from airflow_provider_twilio.runtime.polling.inbound import Cursor, Filter, Listener, Snapshot, subscribe
from airflow_provider_twilio.runtime.polling.shared import PollFailed
from airflow_provider_twilio.triggers.base import SharedPollTrigger

log = logging.getLogger(__name__)

INCLUDABLE = ("from", "to", "body", "num_media")
EVENT_HANDOVER = 3.0
"""Seconds within which an event has left this process: Airflow collects events once a second."""
ERROR_DELAYS = (60.0, 300.0)
"""Seconds to wait after requests that Twilio rejects: the first time, and after that."""


class InboundMessageTrigger(SharedPollTrigger, BaseEventTrigger):
    """Watch for inbound messages, as the trigger of an ``AssetWatcher``.

    A DAG that is scheduled on the asset starts when a message comes in.

    .. code-block:: python

        inbox = Asset(
            "twilio_inbox",
            watchers=[AssetWatcher(name="sms", trigger=InboundMessageTrigger(to="+15005550006"))],
        )

    One event reports all new messages of a poll, by SID: ``{"sids": ["SM…"]}``. Each message is reported at least once,
    from Airflow 3.3 on also across restarts of the triggerer. It may be reported again, and Airflow may hold an event
    back until the next one. So read the new messages with
    :class:`~airflow_provider_twilio.operators.inbound.ReadInboundMessagesOperator`.

    :param to: Only messages to this number or address of the account; to any by default.
    :param from_: Only messages from this phone; from any by default.
    :param pattern: Only messages whose body contains a match of this regular expression, case-insensitive.
    :param include: Further fields of each message to put into the event, under ``messages``: ``from``, ``to``,
        ``body``, ``num_media``. Airflow logs events, and shows them to everybody who may see the asset.
    :param poll_interval: Seconds between two polls, which all watchers of an account share.
    :param lookback: Seconds before the first start from which messages count; before Airflow 3.3, before each start.
    :param overlap: Seconds by which a message may show late in Twilio's list.
    :param twilio_conn_id: Airflow connection.
    :param account_sid: Account of the messages; the connection's own by default.

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    def __init__(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        pattern: str | None = None,
        include: Sequence[Literal["from", "to", "body", "num_media"]] = (),
        poll_interval: float = 30.0,
        lookback: float = LOOKBACK,
        overlap: float = OVERLAP,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
    ) -> None:
        super().__init__(locals() | {"include": sorted(include)})
        for field in include:
            checks.choice("include", field, INCLUDABLE)
        if account_sid is not None:
            checks.sid("account_sid", account_sid, "AC")
        self.selected = Filter(to, from_, pattern)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever there are new messages, without end.

        Requests that Twilio rejects are logged, and retried later.
        """
        delays = iter(ERROR_DELAYS)
        delay = next(delays)
        cursor = _CursorStore(self.arguments, asset_stores(self))
        await cursor.load()
        while True:
            listener = Listener(self.arguments["to"], interval=self.arguments["poll_interval"], cursor=cursor.cursor)
            try:
                async with subscribe(listener, self.account, self.connect):
                    while True:
                        snapshot = await listener.next_snapshot()
                        delays = iter(ERROR_DELAYS)
                        delay = next(delays)
                        await cursor.save()
                        if new := cursor.advance(snapshot, self.selected):
                            yield TriggerEvent(self._build_event(new))  # type: ignore[no-untyped-call]
            except (TwilioError, PollFailed) as error:
                # If this raised, Airflow would restart the watcher every few seconds, and no task's log would say so.
                log.error(
                    "Cannot read inbound messages with the connection %s, trying again in %.0f s. %s: %s",
                    self.arguments["twilio_conn_id"],
                    delay,
                    type(error).__name__,
                    error,
                )
            await asyncio.sleep(delay * random.uniform(1.0, 1.25))  # noqa: S311 (not a secret)
            delay = next(delays, delay)

    def _build_event(self, messages: Sequence[Message]) -> InboundEvent:
        """Build the event for messages, with only the fields that ``include`` names."""
        event: InboundEvent = {"sids": [message["sid"] for message in messages]}
        if include := self.arguments["include"]:
            fields = ("sid", "date_sent", *include)
            selected = [{name: message.get(name) for name in fields} for message in messages]
            event["messages"] = cast("list[InboundFields]", selected)
        return event


class _CursorStore:
    """A cursor in the state stores of the watched assets, if there are any.

    The position after an event is stored only once Airflow has stored the event. If the triggerer dies in between, the
    messages are reported again.
    """

    def __init__(self, arguments: dict[str, Any], stores: Sequence[AssetStore]) -> None:
        self.cursor = Cursor(time.time() - arguments["lookback"], arguments["overlap"])
        self._stores = stores
        # An asset may have several watchers. Each has its own cursor, which outlives a change of the interval.
        identity = [arguments[name] for name in ("twilio_conn_id", "account_sid", "to", "from_", "pattern")]
        self._key = f"twilio_inbound.{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}"
        self._stored_after = self.cursor.after
        self._has_unsaved_events = False

    async def load(self) -> None:
        """Resume from the stored cursor, or store the first one.

        Messages that come in during an outage count, too, once a cursor is stored.
        """
        self.cursor.resume([await store.get(self._key) for store in self._stores])
        await self._write()

    def advance(self, snapshot: Snapshot, selected: Filter) -> list[Message]:
        """Return the new messages of a snapshot."""
        new = self.cursor.advance(snapshot, selected)
        self._has_unsaved_events = self._has_unsaved_events or bool(new)
        return new

    async def save(self) -> None:
        """Store the cursor if it has changed enough.

        All earlier events have left this process by then.

        Airflow's supervisor alternates between answering requests and storing events. An event that it had received
        before it answered one request is stored before it takes the next.
        """
        try:
            if self._has_unsaved_events and self._stores:
                await self._stores[0].get(self._key)
                await asyncio.sleep(EVENT_HANDOVER)
                await self._stores[0].get(self._key)
                await self._write()
            elif self.cursor.after - self._stored_after >= self.cursor.overlap:
                await self._write()
        except Exception:  # at worst, messages are reported again
            log.warning("Could not store the cursor of inbound messages", exc_info=True)

    async def _write(self) -> None:
        for store in self._stores:
            await store.set(self._key, self.cursor.as_json())
        self._stored_after, self._has_unsaved_events = self.cursor.after, False

"""Tell one recipient, unless it is to be held back."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_twilio._airflow import compat as _airflow
from airflow_provider_twilio.api import twiml
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import MAX_BODY_LENGTH, MIN_SCHEDULE_AHEAD, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.notifications import history as storm
from airflow_provider_twilio.notifications.alert import Alert, clock
from airflow_provider_twilio.notifications.modes import ExecutionMode, NotifierClient, TimeBoxedClient
from airflow_provider_twilio.notifications.twilio import OF_CALLS, OF_MESSAGES, VARIABLES, TwilioNotifier
from airflow_provider_twilio.privacy import mask

MAX_SPEECH = 3000
"""Characters that a call says at the most, escaped: with what is around them there may be 4000."""
MARGIN = timedelta(minutes=1)
"""How much later than the soonest that Twilio takes a message is scheduled."""


def fits_segments(most: int | None, text: str) -> bool:
    """Tell whether a text fits in so many segments, and into a message at all."""
    from airflow_provider_twilio.api import segments

    return len(text) <= MAX_BODY_LENGTH and (most is None or segments.count(text).segments <= most)


@dataclass(frozen=True)
class Dispatch:
    """Tell one recipient.

    :ivar fields: the notifier's, rendered, and ``to`` the one recipient.
    """

    notifier: TwilioNotifier
    alert: Alert
    fields: Mapping[str, Any]
    client: NotifierClient | TimeBoxedClient
    way: ExecutionMode

    async def tell(self, context: Mapping[str, Any]) -> None:
        """Tell, unless it is to be held back."""
        notifier, who = self.notifier, mask(str(self.fields["to"]))
        draft = self.client.settings.resolve(self._request())
        due, quiet = None, notifier.quiet_hours
        if quiet and (end := quiet.end_after(datetime.now(UTC))):
            if not (service := draft.get("MessagingServiceSid")):
                notifier.log.warning("%s is not told: it is quiet until %s", who, clock(end, quiet.zone))
                return
            due = max(end, datetime.now(UTC) + MIN_SCHEDULE_AHEAD + MARGIN)
            scheduled = {"messaging_service_sid": service, "send_at": due, "schedule_type": "fixed"}
        notes = await self._judge(draft, due, who, context)
        if notes is None:
            return
        record = await self.client.send(self._request(*notes, **(scheduled if due else {})))
        notifier.log.info("%s is told%s: %s", who, f" at {self._at(due)}" if due else "", record)

    async def _judge(
        self, draft: Request[Any], due: datetime | None, who: str, context: Mapping[str, Any]
    ) -> list[str] | None:
        """Give what to say of alerts that were, or will be, held back; None if this one is held back itself."""
        log, window, most = self.notifier.log, self.notifier.dedupe_window, self.notifier.max_per_hour
        if not (window or most):
            return []
        past = None
        for patience in (self.notifier.burst_window, 0):
            past = await self._past(draft, due)
            if past is None:
                return []
            if window and (told := past.repeats(self.alert.tag if self._tagged else None, window)):
                log.info("%s is not told: the same was told at %s", who, self._at(told))
                return None
            held = past.held_until(most) if most else None
            if not held:
                break
            if past.is_announced() or not self._tagged:
                log.warning("%s is not told: there were %d in an hour; held back until %s", who, most, self._at(held))
                return None
            # The last ones went out at one instant, and none knew. One of those that come after it says so.
            await self.way.sleep(random.uniform(0, patience))  # noqa: S311 (no secret)
        return await self._notes(past, held, context) if past and most else []

    async def _past(self, draft: Request[Any], due: datetime | None) -> storm.AlertHistory | None:
        """Read the log; None where that fails: it is rather told once too often."""
        try:
            log = await self.client.send(storm.history_request(draft))
        except Exception as error:
            self.notifier.log.warning("Twilio's log can't be read, so nothing is held back: %s", mask(str(error)))
            return None
        return log.past(due, tagged=self._tagged)

    async def _notes(self, past: storm.AlertHistory, held: datetime | None, context: Mapping[str, Any]) -> list[str]:
        notes, most = [], self.notifier.max_per_hour or 1
        if not held and (since := past.held_since(most)):
            runs = {self.alert.run_id, *(run for one in past.last(most) for run in one.runs(self.alert.dag_id))}
            failed = await self.way.failed(context, self.alert.dag_id, sorted(runs))
            if failed is None:
                notes.append(f"Since {self._at(since)} some may have been held back.")
            elif failed > most:
                notes.append(f"Since {self._at(since)} some were held back: {failed} tasks failed.")
        if until := held or past.closes_until(most):
            notes.append(f"{storm.MORE_HELD_BACK} {self._at(until)}.")
        return notes

    def _at(self, when: datetime) -> str:
        return clock(when, self._zone)

    @property
    def _zone(self) -> Any:
        return self.notifier.quiet_hours.zone if self.notifier.quiet_hours else UTC

    @property
    def _tagged(self) -> bool:
        """Whether an alert can be told from the others in the log: a call's text isn't there, a template's not ours."""
        return not (self.notifier.call or self.fields["content_sid"])

    def _request(self, *notes: str, **scheduled: Any) -> Request[Any]:
        fields = self.fields
        if self.notifier.call:
            spoken = twiml.say(self._speech(*notes), fields["voice"], fields["language"])
            return Calls.create(**{name: fields[name] for name in OF_CALLS}, twiml=spoken)
        arguments = {**{name: fields[name] for name in OF_MESSAGES}, **scheduled}
        if not fields["content_sid"]:
            return Messages.create(**arguments, body=self._text(*notes))
        if variables := fields[VARIABLES]:
            arguments[VARIABLES] = {key: self._safe(str(value)) for key, value in variables.items()}
        return Messages.create(**arguments)

    def _text(self, *notes: str) -> str:
        from airflow_provider_twilio.api import segments

        notifier, body = self.notifier, self.fields["body"]
        end = f" #{self.alert.tag}" if notifier.dedupe_window or notifier.max_per_hour else ""
        if body is None:
            alert = replace(self.alert, question=self._safe(self.alert.question))
            return alert.fit(partial(fits_segments, notifier.max_segments or 1), self._zone, *notes, end=end)
        end = "".join(f" {note}" for note in notes) + end
        return (
            segments.shorten(self._safe(str(body)), lambda text: fits_segments(notifier.max_segments, text + end)) + end
        )

    def _speech(self, *notes: str) -> str:
        from xml.sax.saxutils import escape

        from airflow_provider_twilio.api import segments

        body = self.fields["body"]
        said = self._safe(self.alert.speech(self._zone) if body is None else str(body))
        return " ".join((segments.shorten(said, lambda text: len(escape(text)) <= MAX_SPEECH), *notes))

    def _safe(self, text: str) -> str:
        """Mask what Airflow knows for a secret, the connection's among them; leave out what no message can hold."""
        return "".join(c for c in _airflow.redact(text) if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))

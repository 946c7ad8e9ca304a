"""Send an alert to one recipient, or hold it back."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_twilio._airflow import compat as _airflow
from airflow_provider_twilio.api import segments, twiml
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import MIN_SCHEDULE_AHEAD, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.prepare import prepare
from airflow_provider_twilio.notifications.alert import Alert, fits_segments, format_time
from airflow_provider_twilio.notifications.history import MORE_HELD_BACK, AlertHistory, history_request
from airflow_provider_twilio.notifications.modes import ExecutionMode, TimeBoxedClient
from airflow_provider_twilio.notifications.policy import CALL_FIELDS, CONTENT_VARIABLES, MESSAGE_FIELDS, AlertPolicy
from airflow_provider_twilio.privacy import mask

MAX_SPEECH_LENGTH = 3000
"""Maximum length of a call's speech, in escaped characters; a TwiML document may have 4,000."""
SCHEDULE_MARGIN = timedelta(minutes=1)
"""Time added to the shortest delay that Twilio accepts for a scheduled message."""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """The sending of one alert to one recipient.

    :ivar fields: The notifier's rendered fields; ``to`` is the one recipient.
    :ivar context: The context of the callback.
    :ivar log: The notifier's logger, whose type depends on Airflow's version.
    """

    policy: AlertPolicy
    alert: Alert
    fields: Mapping[str, Any]
    client: TimeBoxedClient
    mode: ExecutionMode
    context: Mapping[str, Any]
    log: Any

    async def send(self) -> None:
        """Send the alert now, schedule it for the end of the quiet hours, or hold it back."""
        prepared = prepare(self.client.settings, self._build_request())
        draft = prepared.request
        due, quiet_hours = None, self.policy.quiet_hours
        schedule: dict[str, Any] = {}
        if quiet_hours and (end := quiet_hours.end_after(datetime.now(UTC))):
            if not (service := draft.get("MessagingServiceSid")):
                self.log.warning("Not notifying %s: quiet hours until %s", self._recipient, self._format(end))
                return
            due = max(end, datetime.now(UTC) + MIN_SCHEDULE_AHEAD + SCHEDULE_MARGIN)
            due = quiet_hours.end_after(due) or due
            schedule = {"messaging_service_sid": service, "send_at": due, "schedule_type": "fixed"}
        notes = await self._check_history(draft, due)
        if notes is None:
            return
        request = self._build_request(*notes, **schedule) if notes or schedule else prepared
        record = await self.client.send(request)
        if due:
            self.log.info("Scheduled the alert to %s for %s: %s", self._recipient, self._format(due), record)
        else:
            self.log.info("Notified %s: %s", self._recipient, record)

    async def _check_history(self, draft: Request[Any], due: datetime | None) -> list[str] | None:
        """Return the notes about alerts that were or will be held back, or None to hold back this one."""
        window, max_per_hour = self.policy.dedupe_window, self.policy.max_per_hour
        if not self.policy.needs_history:
            return []
        for max_delay in (self.policy.burst_window, 0):
            history = await self._read_history(draft, due)
            if history is None:
                return []
            if window and (sent_at := history.last_sent(self.alert.tag if self._is_tagged else None, window)):
                self.log.info("Not notifying %s: the same alert was sent at %s", self._recipient, self._format(sent_at))
                return None
            held_until = history.held_until(max_per_hour) if max_per_hour else None
            if not held_until:
                break
            if history.limit_is_announced() or not self._is_tagged:
                self.log.warning(
                    "Not notifying %s: %d alerts in the past hour; holding back until %s",
                    self._recipient,
                    max_per_hour,
                    self._format(held_until),
                )
                return None
            # The last alerts were sent at the same instant, so none of them announced the limit. One of the alerts
            # after them has to; a random delay keeps those from all reading the same history again.
            delay = min(max_delay, self.client.seconds_left / 2)
            await self.mode.sleep(random.uniform(0, delay))  # noqa: S311 (not a secret)
        return await self._build_notes(history, max_per_hour, held_until) if history and max_per_hour else []

    async def _read_history(self, draft: Request[Any], due: datetime | None) -> AlertHistory | None:
        """Return the recipient's earlier alerts, or None after an error: a duplicate alert is better than none."""
        try:
            log = await self.client.send(history_request(draft))
        except Exception as error:
            self.log.warning("Cannot read earlier alerts from Twilio, holding none back: %s", mask(str(error)))
            return None
        return log.history(due, tagged=self._is_tagged)

    async def _build_notes(self, history: AlertHistory, max_per_hour: int, held_until: datetime | None) -> list[str]:
        notes = []
        if not held_until and (since := history.held_since(max_per_hour)):
            dag_id = self.alert.dag_id
            run_ids = {self.alert.run_id}.union(*(alert.run_ids(dag_id) for alert in history.newest(max_per_hour)))
            failed = await self.mode.count_failed_tasks(self.context, dag_id, sorted(run_ids))
            if failed is None:
                notes.append(f"Since {self._format(since)} some may have been held back.")
            elif failed > max_per_hour:
                notes.append(f"Since {self._format(since)} some were held back: {failed} tasks failed.")
        if until := held_until or history.held_after_next_until(max_per_hour):
            notes.append(f"{MORE_HELD_BACK} {self._format(until)}.")
        return notes

    @property
    def _recipient(self) -> str:
        return mask(str(self.fields["to"]))

    def _format(self, when: datetime) -> str:
        return format_time(when, self.policy.zone)

    @property
    def _is_tagged(self) -> bool:
        """Whether Twilio's record shows the alert's tag: it has no text of calls, and content templates no tag."""
        return not (self.policy.call or self.fields["content_sid"])

    def _build_request(self, *notes: str, **schedule: Any) -> Request[Any]:
        fields = self.fields
        if self.policy.call:
            speech = twiml.say(self._build_speech(*notes), fields["voice"], fields["language"])
            return Calls.create(**{name: fields[name] for name in CALL_FIELDS}, twiml=speech)
        arguments = {**{name: fields[name] for name in MESSAGE_FIELDS}, **schedule}
        if not fields["content_sid"]:
            return Messages.create(**arguments, body=self._build_body(*notes))
        if variables := fields[CONTENT_VARIABLES]:
            arguments[CONTENT_VARIABLES] = {key: self._sanitize(str(value)) for key, value in variables.items()}
        return Messages.create(**arguments)

    def _build_body(self, *notes: str) -> str:
        body, max_segments = self.fields["body"], self.policy.max_segments
        end = f" #{self.alert.tag}" if self.policy.needs_history else ""
        if body is None:
            alert = replace(self.alert, question=self._sanitize(self.alert.question))
            return alert.text_within(partial(fits_segments, max_segments or 1), self.policy.zone, *notes, end=end)
        end = "".join(f" {note}" for note in notes) + end
        return segments.shorten(self._sanitize(str(body)), lambda text: fits_segments(max_segments, text + end)) + end

    def _build_speech(self, *notes: str) -> str:
        from xml.sax.saxutils import escape

        body = self.fields["body"]
        speech = self._sanitize(self.alert.speech(self.policy.zone) if body is None else str(body))
        return " ".join((segments.shorten(speech, lambda text: len(escape(text)) <= MAX_SPEECH_LENGTH), *notes))

    def _sanitize(self, text: str) -> str:
        """Return a text with Airflow's known secrets masked, and without characters that no message can contain."""
        return "".join(c for c in _airflow.redact(text) if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))

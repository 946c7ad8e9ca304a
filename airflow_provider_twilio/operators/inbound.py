"""The operator that reads the new inbound messages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from airflow.sdk import Variable

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.defaults import LOOKBACK, OVERLAP
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters

FILTERS = ("to", "from_", "pattern")
KEPT_RUNS = 20
"""Number of runs whose messages are stored, in addition to those of the overlap. A cleared run reads them again."""
MAX_VARIABLE_NAME = 250
"""Maximum length of a Variable's name, in characters."""


class StoredReads(TypedDict):
    """The Variable of a task. Its keys never change.

    ``after`` is the cursor's time, in seconds since the epoch. ``runs`` holds the messages that each run has read: when
    each was received, by SID.
    """

    after: float
    runs: dict[str, dict[str, float]]


class ReadInboundMessagesOperator(TwilioOperator):
    """Read the inbound messages that no earlier run has read, oldest first. They go to XCom.

    Each message is read by exactly one run, whatever events have started it. A run that is retried or cleared reads its
    messages again, and the new ones. The operator stores this in an Airflow Variable of the task,
    ``twilio_inbound.<dag_id>.<task_id>``, because the state stores of tasks and assets do not last from run to run on
    every version of Airflow.

    .. code-block:: python

        inbox = Asset(
            "twilio_inbox",
            watchers=[AssetWatcher(name="sms", trigger=InboundMessageTrigger(to="+15005550006"))],
        )
        with DAG("replies", schedule=inbox, max_active_runs=1):
            ReadInboundMessagesOperator(task_id="read", to="+15005550006")

    ``max_active_tis_per_dag`` is 1 by default, so that two runs do not read at the same time. Airflow ignores this
    default for mapped tasks: pass it to ``partial``, or set ``max_active_runs=1`` on the DAG.

    :param to: Only messages to this number or address of the account; to any by default. (templated)
    :param from_: Only messages from this phone; from any by default. (templated)
    :param pattern: Only messages whose body contains a match of this regular expression, case-insensitive. (templated)
    :param include_body: Whether the records in XCom keep their bodies.
    :param lookback: Seconds before the first run from which messages count.
    :param overlap: Seconds by which a message may show late in Twilio's list.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    _extra_template_fields = FILTERS
    template_fields = (*FILTERS, "twilio_conn_id", "account_sid")
    ui_color = "#f3e3f7"

    to: str | None
    from_: str | None
    pattern: str | None
    include_body: bool
    lookback: float
    overlap: float

    def __init__(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        pattern: str | None = None,
        include_body: bool = True,
        lookback: float = LOOKBACK,
        overlap: float = OVERLAP,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        kwargs.setdefault("max_active_tis_per_dag", 1)
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        from airflow_provider_twilio.runtime.polling.inbound import Filter

        super()._check_parameters(values)
        for name in ("lookback", "overlap"):
            checks.required(**{name: values[name]})
            checks.seconds(name, values[name])
        Filter(*(values[name] for name in FILTERS))

    def execute(self, context: Context) -> list[Message]:
        """Read the new messages, and store that this run has read them before returning them."""
        from airflow_provider_twilio.runtime.polling.inbound import (
            Cursor,
            Filter,
            Snapshot,
            earliest_first,
            is_inbound,
            messages_since,
            timestamp,
        )

        with fail_on_permanent_errors():
            selected = Filter(*(self._rendered_filter(name) for name in FILTERS))
            name, run_id = self._variable_name(context["ti"]), context["ti"].run_id
            stored: StoredReads | None = Variable.get(name, default=None, deserialize_json=True)
            reads_by_run = dict(stored["runs"]) if stored else {}
            cursor = Cursor(self._first_start(context), self.overlap)
            if stored:
                seen = {sid: received for reads in reads_by_run.values() for sid, received in reads.items()}
                cursor.resume([{"after": stored["after"], "seen": seen}])
            listed, newest = list[Message](), 0.0
            for message in self.hook.client.iter_records(
                messages_since(cursor.after, to=selected.to, from_=selected.from_)
            ):
                newest = max(newest, timestamp(message))
                if is_inbound(message):
                    listed.append(message)
            new = cursor.advance(Snapshot(earliest_first(listed), newest), selected)
            reads = {**reads_by_run.pop(run_id, {}), **{str(message.sid): timestamp(message) for message in new}}
            if reads:
                reads_by_run[run_id] = reads
            runs = self._runs_to_keep(reads_by_run, cursor.after)
            self._store(name, stored, {"after": cursor.after, "runs": runs})
            return self._fetch_messages(reads, {str(message.sid): message for message in listed})

    def _rendered_filter(self, name: str) -> str | None:
        """Return a filter as rendered.

        :raises BadParameter: A template has rendered an empty string, which would read all messages.
        """
        value = parse_rendered(name, getattr(self, name), "str")
        if isinstance(value, str) and not value.strip():
            raise BadParameter(name, "is empty", "leave it out to read all messages, or give a value")
        return None if value is None else str(value)

    def _variable_name(self, ti: Any) -> str:
        """Return the name of the task's Variable. Mapped tasks have one for each map index."""
        name = f"twilio_inbound.{ti.dag_id}.{ti.task_id}" + (f".{ti.map_index}" if ti.map_index >= 0 else "")
        if len(name) <= MAX_VARIABLE_NAME:
            return name
        return f"twilio_inbound.{hashlib.sha256(name.encode()).hexdigest()}"

    def _first_start(self, context: Context) -> float:
        """Return the start of the first run: ``lookback`` before it was due.

        The run may have been queued for some time since.
        """
        run_after = getattr(context.get("dag_run"), "run_after", None)
        return min(time.time(), run_after.timestamp() if run_after else time.time()) - self.lookback

    def _runs_to_keep(self, reads_by_run: Mapping[str, dict[str, float]], after: float) -> dict[str, dict[str, float]]:
        """Return the most recent runs, and those with messages of the overlap."""
        recent = list(reads_by_run)[-KEPT_RUNS:]
        return {run: reads for run, reads in reads_by_run.items() if run in recent or max(reads.values()) >= after}

    def _store(self, name: str, stored: StoredReads | None, reads: StoredReads) -> None:
        """Store the reads if they have changed: a run without new messages does not write."""
        if stored is None or reads["runs"] != stored["runs"] or reads["after"] - stored["after"] >= self.overlap:
            Variable.set(name, reads, description="Inbound messages read by a task of this name", serialize_json=True)

    def _fetch_messages(self, sids: Iterable[str], listed: Mapping[str, Message]) -> list[Message]:
        """Return the messages of this run.

        Those that an earlier try has read may have to be fetched.
        """
        messages = []
        for sid in sids:
            try:
                message = listed.get(sid) or self.hook.client.send(Messages.fetch(sid))
            except NotFound:
                self.log.info("Leaving out %s: an earlier try has read it, and it was deleted since", sid)
                continue
            if not self.include_body:
                message.pop("body", None)
            messages.append(message)
        self.log.info("Read %d messages", len(messages))
        return messages

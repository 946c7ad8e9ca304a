"""Read what has come in since the last time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from airflow.sdk import Variable

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import LOOKBACK, OVERLAP
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters

FILTERS = ("to", "from_", "pattern")
KEPT_RUNS = 20
"""So many runs, and all of the overlap, are remembered: clearing one of them reads again what it had read."""
LONGEST_NAME = 250


class ReadInboundMessagesOperator(TwilioOperator):
    """Read the messages that have come in since the last run that read, the earliest first. They go to XCom.

    Each message is read by one run, whatever events have started it, and however often they came. A run that is retried
    or cleared reads again what it had read, and what is new. That is kept in an Airflow Variable of the task's own,
    ``twilio_inbound.<dag_id>.<task_id>``, since what tasks and assets can keep doesn't last from run to run on every
    version. So that runs don't read at the same time, ``max_active_tis_per_dag`` is 1 unless told. Where it is mapped,
    Airflow doesn't ask for that: give it to ``partial``, or the DAG ``max_active_runs=1``.

    :param to: only what came in at this number or address of the account. (templated)
    :param from_: only what came from this phone. (templated)
    :param pattern: only a body in which this regular expression is found, whatever its case. (templated)
    :param include_body: whether the records in XCom keep their bodies.
    :param lookback: seconds before the first run from when on messages count.
    :param overlap: seconds by which a message may show late in Twilio's list.
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
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        from airflow_provider_twilio.runtime.polling.inbound import Filter

        super()._check_parameters(values)
        for name in ("lookback", "overlap"):
            value = values[name]
            if value is not UNRESOLVED and value < 0:
                raise BadParameter(name, f"is {value}", "give seconds, 0 or more")
        Filter(*(values[name] for name in FILTERS))

    def execute(self, context: Context) -> list[Message]:
        """Read what is new, and remember that this run has read it before it is told."""
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
            wanted = Filter(*(self._filter(name) for name in FILTERS))
            name, run_id = self._variable(context["ti"]), context["ti"].run_id
            kept = Variable.get(name, default=None, deserialize_json=True) or {}
            by_run: dict[str, dict[str, float]] = dict(kept.get("runs") or {})
            cursor = Cursor(self._start(context), self.overlap)
            seen = {sid: moment for read in by_run.values() for sid, moment in read.items()}
            cursor.resume([{**kept, "seen": seen}])
            listed, newest = list[Message](), 0.0
            for message in self.hook.client.iter_records(
                messages_since(cursor.after, to=wanted.to, from_=wanted.from_)
            ):
                newest = max(newest, timestamp(message))
                if is_inbound(message):
                    listed.append(message)
            new = cursor.advance(Snapshot(earliest_first(listed), newest), wanted)
            mine = {**by_run.pop(run_id, {}), **{str(message.sid): timestamp(message) for message in new}}
            if mine:
                by_run[run_id] = mine
            self._remember(name, kept, {"after": cursor.after, "runs": self._recent(by_run, cursor.after)})
            return self._told(mine, {str(message.sid): message for message in listed})

    def _filter(self, name: str) -> str | None:
        value = parse_rendered(name, getattr(self, name), "str")
        if isinstance(value, str) and not value.strip():
            raise BadParameter(name, "is empty", "leave it out to read all, or give a value")
        return None if value is None else str(value)

    def _variable(self, ti: Any) -> str:
        """Name the Variable: mapped tasks have one for each map index."""
        name = f"twilio_inbound.{ti.dag_id}.{ti.task_id}" + (f".{ti.map_index}" if ti.map_index >= 0 else "")
        return name if len(name) <= LONGEST_NAME else f"twilio_inbound.{hashlib.sha256(name.encode()).hexdigest()}"

    def _start(self, context: Context) -> float:
        """Give where the first run begins: before what has started it came in, however long it has waited since."""
        due = getattr(context.get("dag_run"), "run_after", None)
        return min(time.time(), due.timestamp() if due else time.time()) - self.lookback

    def _recent(self, by_run: Mapping[str, dict[str, float]], after: float) -> dict[str, dict[str, float]]:
        recent = list(by_run)[-KEPT_RUNS:]
        return {run: read for run, read in by_run.items() if run in recent or max(read.values()) >= after}

    def _remember(self, name: str, kept: Mapping[str, Any], now: dict[str, Any]) -> None:
        """Store where this has come to, if that makes a difference: a read that finds nothing costs no write."""
        if now["runs"] != kept.get("runs") or now["after"] - kept["after"] >= self.overlap:
            Variable.set(name, now, description="What has been read by a task of this name", serialize_json=True)

    def _told(self, sids: Mapping[str, float], listed: Mapping[str, Message]) -> list[Message]:
        told = []
        for sid in sids:
            try:
                message = listed.get(sid) or self.hook.client.send(Messages.fetch(sid))
            except NotFound:
                self.log.info("%s was read before, and is deleted by now", sid)
                continue
            if not self.include_body:
                message.pop("body", None)
            told.append(message)
        self.log.info("%d messages", len(told))
        return told

"""What an alert is about, from whatever context Airflow hands over, and the text that says it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import quote

from airflow_provider_twilio._airflow import conf

# No vowels, so that no word comes out; nothing that is misread, either.
LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"
TAG = re.compile(rf" #([{LETTERS}]{{6}})\s*$")

LEAST_NAME = 24
"""To how many characters a name is shortened so that the link stays."""
LONGEST_INSTANCE = 20

OF_TASKS = {
    "failed": "failed",
    "up_for_retry": "failed, is retried",
    "success": "succeeded",
    "skipped": "was skipped",
    "running": "started",
}
OF_RUNS = {"success": "succeeded", "timed_out": "timed out", "all_tasks_deadlocked": "is deadlocked"}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Hold what an alert is about. Templates have it as ``alert``, in every context alike.

    :ivar dag_id: the DAG.
    :ivar run_id: the run.
    :ivar task_id: the task; None where the alert is about the run.
    :ivar map_index: the mapped task's index, or -1.
    :ivar what: what happened: ``failed``, ``succeeded``, ``missed its deadline`` …
    :ivar try_number: the try, counted from 1; None where the alert is about the run.
    :ivar tries: how many tries there may be.
    :ivar error: the name of the exception's class. Its text may hold anybody's data: name it yourself.
    :ivar question: what a human-in-the-loop task asks.
    :ivar when: when it happened.
    :ivar link: to the task's log, the run, or the page that takes the answer; empty where Airflow's address isn't set.
    """

    dag_id: str
    run_id: str
    what: str
    task_id: str | None = None
    map_index: int = -1
    try_number: int | None = None
    tries: int | None = None
    error: str = ""
    question: str = ""
    when: datetime = field(default_factory=lambda: datetime.now(UTC))
    link: str = ""
    to_be_retried: bool = False
    answering: Callable[..., str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Alert:
        """Read the context of a task's callback, a DAG's (perhaps only dag, run id and reason) or a deadline's."""
        run, ti = context.get("dag_run"), context.get("ti") or context.get("task_instance")
        if isinstance(run, Mapping):  # a deadline's, as JSON
            dag_id, run_id = str(run.get("dag_id", "")), str(run.get("dag_run_id") or run.get("run_id", ""))
            return cls(dag_id=dag_id, run_id=run_id, what="missed its deadline", link=_link(dag_id, run_id))
        dag_id = str(getattr(context.get("dag"), "dag_id", None) or getattr(ti or run, "dag_id", ""))
        run_id = str(context.get("run_id") or getattr(ti or run, "run_id", ""))
        if ti is None or "reason" in context:
            what = OF_RUNS.get(str(context.get("reason")), "failed")
            return cls(dag_id=dag_id, run_id=run_id, what=what, link=_link(dag_id, run_id))
        return cls._of_task(context, ti, dag_id, run_id)

    @classmethod
    def _of_task(cls, context: Mapping[str, Any], ti: Any, dag_id: str, run_id: str) -> Alert:
        task, index = context.get("task"), getattr(ti, "map_index", -1)
        index = -1 if index is None else index
        try_number, tries = getattr(ti, "try_number", None) or 1, (getattr(ti, "max_tries", None) or 0) + 1
        error, state = context.get("exception"), getattr(ti, "state", None)
        state = str(getattr(state, "value", state) or ("running" if "exception" in context and not error else "failed"))
        link = _link(dag_id, run_id, ti.task_id, index)
        answering = getattr(task, "generate_link_to_ui_from_context", None)
        if answering is not None and not error and state in ("running", "failed"):  # asked before it has a state

            def answer(*options: str) -> str:
                return str(answering(context=context, options=list(options) or None))

            state, link = "asks", answer() if link else ""
        return cls(
            dag_id=dag_id,
            run_id=run_id,
            task_id=ti.task_id,
            map_index=index,
            what="asks" if state == "asks" else OF_TASKS.get(state, state.replace("_", " ")),
            try_number=try_number,
            tries=tries,
            error=type(error).__name__ if error else "",
            question=str(getattr(task, "subject", "")) if state == "asks" else "",
            link=link,
            to_be_retried=state == "up_for_retry",
            answering=answer if state == "asks" else None,
        )

    def answer(self, *options: str) -> str:
        """Give the link to the page that takes a human's answer, with options chosen beforehand."""
        return self.answering(*options) if self.answering and self.link else self.link

    @property
    def name(self) -> str:
        """What it is about: ``dag.task``, ``dag.task[3]``, or the DAG alone."""
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{index}" if self.task_id else self.dag_id or "something"

    @property
    def tag(self) -> str:
        """Six characters that stand for this alert: DAG, task and what happened, of whichever run and map index."""
        told = "\n".join((_base(), _instance(), self.dag_id, self.task_id or "", self.what))
        number = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8])
        return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))

    @property
    def text(self) -> str:
        """All that the default text says, however long it is."""
        return self.within(lambda text: True)

    def within(self, fits: Callable[[str], bool], zone: tzinfo = UTC, *notes: str, end: str = "") -> str:
        """Say it in what fits, within GSM-7.

        What there is no room for goes in this order: the error and the tries, the middle of the name, the link.

        :param fits: tells whether a text does.
        :param zone: of the time of day in it.
        :param notes: further sentences, which stay.
        :param end: what it ends with.
        """
        from airflow_provider_twilio.api.segments import shorten, transliterate

        name, question = transliterate(self.name), transliterate(self.question)
        tries = f", try {self.try_number} of {self.tries}" if self.try_number and (self.tries or 1) > 1 else ""
        error = f" ({self.error})" if self.error else ""
        run = f", run {transliterate(self.run_id)}"

        def said(called: str, details: str, link: str) -> str:
            asks = f": {question}" if question else ""
            first = f"{_instance()}: {called} {self.what}{asks}{details}, {clock(self.when, zone)}"
            return " ".join(filter(None, (first if link and not notes else f"{first}.", *notes, link))) + end

        for link in dict.fromkeys((self.link, "")):
            for details in (tries + error + ("" if link else run), tries + error, tries, ""):
                if fits(text := said(name, details, link)):
                    return text
            for length in range(len(name) - 1, LEAST_NAME if link else 2, -1):
                if fits(text := said(_middle(name, length), "", link)):
                    return text
        return shorten(said(name, "", ""), lambda text: fits(text + end)) + end

    def speech(self, zone: tzinfo = UTC) -> str:
        """Say it for a voice to read out."""
        what = f"task {self.task_id} of DAG {self.dag_id}" if self.task_id else f"DAG {self.dag_id}"
        asks = f": {self.question}" if self.question else ""
        said = f"{_instance()} alert. {what} {self.what}{asks}, {clock(self.when, zone)}."
        return re.sub(r"[_.]+(?=\w)", " ", said)


def clock(when: datetime, zone: tzinfo) -> str:
    """Write a time of day with its zone."""
    return when.astimezone(zone).strftime("%H:%M %Z")


def _middle(name: str, length: int) -> str:
    """Shorten a name in its middle: its beginning and its end say most."""
    start = (length - 2) // 2
    return f"{name[:start]}..{name[len(name) - (length - 2 - start) :]}"


def _base() -> str:
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _instance() -> str:
    from airflow_provider_twilio.api.segments import transliterate

    given = transliterate(str(conf.get("api", "instance_name", fallback="") or ""))
    return given[:LONGEST_INSTANCE].strip() or "Airflow"


def _link(dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1) -> str:
    """Give the address of a run, or of a task's log: Airflow's own, but without escapes that a path needs not have."""
    base = _base()
    if not base or not dag_id or not run_id:
        return ""
    task = f"/tasks/{quote(task_id)}" if task_id else ""
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id, safe=':+')}{task}{mapped}"

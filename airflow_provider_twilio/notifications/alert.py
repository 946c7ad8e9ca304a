"""What an alert is about, from whatever context Airflow hands over, and the text that says it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any
from urllib.parse import quote

from airflow_provider_twilio._airflow.compat import conf

# No vowels, so that no word comes out; nothing that is misread, either.
LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"
TAG = re.compile(rf" #([{LETTERS}]{{6}})\s*$")

LEAST_NAME, LEAST_QUESTION = 24, 12
"""To how many characters a name, and a question, is shortened so that the link stays."""
LONGEST_INSTANCE = 20

TASK_EVENTS = {
    "failed": "failed",
    "up_for_retry": "failed, is retried",
    "success": "succeeded",
    "skipped": "was skipped",
    "asks": "asks",
}
RUN_EVENTS = {"success": "succeeded", "timed_out": "timed out", "all_tasks_deadlocked": "is deadlocked"}


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
    event: str
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
            return cls(dag_id=dag_id, run_id=run_id, event="missed its deadline", link=_link(dag_id, run_id))
        dag_id = str(getattr(context.get("dag"), "dag_id", None) or getattr(ti or run, "dag_id", ""))
        run_id = str(context.get("run_id") or getattr(ti or run, "run_id", ""))
        if ti is None or "reason" in context:
            what = RUN_EVENTS.get(str(context.get("reason")), "failed")
            return cls(dag_id=dag_id, run_id=run_id, event=what, link=_link(dag_id, run_id))
        return cls._of_task(context, ti, dag_id, run_id)

    @classmethod
    def _of_task(cls, context: Mapping[str, Any], ti: Any, dag_id: str, run_id: str) -> Alert:
        task, error = context.get("task"), context.get("exception")
        index = -1 if (given := getattr(ti, "map_index", -1)) is None else given
        try_number, tries = getattr(ti, "try_number", None) or 1, (getattr(ti, "max_tries", None) or 0) + 1
        told = getattr(ti, "state", None)
        # A killed task's has no state here: the DAG processor asks for its callbacks, by the same rule.
        state = str(getattr(told, "value", told) or ("up_for_retry" if try_number < tries else "failed"))
        link, question, answering = _link(dag_id, run_id, ti.task_id, index), "", None
        generate = getattr(task, "generate_link_to_ui_from_context", None)
        if generate and not error and told in (None, "running"):
            state, question = "asks", str(getattr(task, "subject", ""))
            answering = partial(generate, context=context) if link else None
            link = str(answering()) if answering else ""
        return cls(
            dag_id=dag_id,
            run_id=run_id,
            task_id=ti.task_id,
            map_index=index,
            event=TASK_EVENTS.get(state, state.replace("_", " ")),
            try_number=try_number,
            tries=tries,
            error=type(error).__name__ if error else "",
            question=question,
            link=link,
            to_be_retried=state == "up_for_retry",
            answering=answering,
        )

    def answer(self, *options: str) -> str:
        """Give the link to the page that takes a human's answer, with options chosen beforehand."""
        return str(self.answering(options=list(options))) if self.answering else self.link

    @property
    def name(self) -> str:
        """What it is about: ``dag.task``, ``dag.task[3]``, or the DAG alone."""
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{index}" if self.task_id else self.dag_id or "something"

    @property
    def tag(self) -> str:
        """Six characters that stand for this alert: DAG, task and what happened, of whichever run and map index."""
        told = "\n".join((_base(), _instance(), self.dag_id, self.task_id or "", self.event))
        number = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8])
        return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))

    @property
    def text(self) -> str:
        """All that the default text says, however long it is."""
        return self.fit(lambda text: True)

    def fit(self, fits: Callable[[str], bool], zone: tzinfo = UTC, *notes: str, end: str = "") -> str:
        """Say it in what fits, within GSM-7.

        What there is no room for goes in this order: the error and the tries, the middle of the name, the end of the
        question, the link.

        :param fits: tells whether a text does.
        :param zone: of the time of day in it.
        :param notes: further sentences, which stay.
        :param end: what it ends with.
        """
        from airflow_provider_twilio.api.segments import shorten, transliterate

        name, question = transliterate(self.name), transliterate(self.question)
        number, most = self.try_number or 0, self.tries or 1
        given_up = self.event == "failed" and number < most  # "try 1 of 3" would promise two more
        tries = f", try {number} of {most}" if number and most > 1 and not given_up else ""
        error = f" ({self.error})" if self.error else ""
        run = f", run {transliterate(self.run_id)}"

        def said(called: str, asks: str, details: str, link: str) -> str:
            what = f"{self.event}: {asks}" if asks else f"{self.event}{details}, {clock(self.when, zone)}"
            first = f"{_instance()}: {called} {what}"
            return " ".join(filter(None, (first if link and not notes else f"{first}.", *notes, link))) + end

        for link in dict.fromkeys((self.link, "")):
            for details in (tries + error + ("" if link else run), tries + error, tries, ""):
                if fits(text := said(name, question, details, link)):
                    return text
            for length in range(len(name) - 1, LEAST_NAME if link else 2, -1):
                if fits(text := said(_middle(name, length), question, "", link)):
                    return text
            short = _middle(name, LEAST_NAME) if len(name) > LEAST_NAME else name
            for length in range(len(question) - 1, LEAST_QUESTION, -1):
                if fits(text := said(short, f"{question[:length].rstrip()}...", "", link)):
                    return text
        return shorten(said(name, question, "", ""), lambda text: fits(text + end)) + end

    def speech(self, zone: tzinfo = UTC) -> str:
        """Say it for a voice to read out."""
        what = f"task {self.task_id} of DAG {self.dag_id}" if self.task_id else f"DAG {self.dag_id}"
        asks = f": {self.question}" if self.question else ""
        said = f"{_instance()} alert. {what} {self.event}{asks}, {clock(self.when, zone)}."
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

"""The facts of an alert, read from any callback's context, and the default text and speech built from them."""

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
from airflow_provider_twilio.api import segments
from airflow_provider_twilio.api.messages import MAX_BODY_LENGTH

# No vowels, so that a tag never forms a word, and no characters that are easily confused.
TAG_CHARACTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"
TAG_LENGTH = 6
TAG_PATTERN = re.compile(rf" #([{TAG_CHARACTERS}]{{{TAG_LENGTH}}})\s*$")

MIN_NAME_LENGTH = 24
"""Shortest length, in characters, to which a name is cut before the link is dropped."""
MIN_QUESTION_LENGTH = 12
"""Shortest length, in characters, to which a question is cut before the link is dropped."""
MAX_INSTANCE_NAME_LENGTH = 20
"""Maximum length of the Airflow instance's name, in characters."""

TASK_EVENTS = {
    "failed": "failed",
    "up_for_retry": "failed, will retry",
    "success": "succeeded",
    "skipped": "was skipped",
    "asks": "asks",
}
RUN_EVENTS = {"success": "succeeded", "timed_out": "timed out", "all_tasks_deadlocked": "is deadlocked"}


def fits_segments(max_segments: int | None, text: str) -> bool:
    """Return whether a text is at most this many segments long, and short enough for one message."""
    return len(text) <= MAX_BODY_LENGTH and (max_segments is None or segments.count(text).segments <= max_segments)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An event of a task or a DAG run. Templates see it as ``alert``, with the same fields in every context.

    :ivar dag_id: The DAG.
    :ivar run_id: The DAG run.
    :ivar event: What happened: ``failed``, ``succeeded``, ``missed its deadline`` …
    :ivar task_id: The task; None if the alert is about the run.
    :ivar map_index: The index of the mapped task, or -1.
    :ivar try_number: The try, counted from 1; None if the alert is about the run.
    :ivar tries: The number of tries that the task may have; None if the alert is about the run.
    :ivar error: The name of the exception's class. The exception's text is left out: it may contain personal data.
    :ivar question: The subject of a human-in-the-loop task.
    :ivar when: The time of the event.
    :ivar link: The address of the task's log, the run, or the page that accepts the response; empty if Airflow's
        ``[api] base_url`` is not set.
    :ivar will_retry: Whether another try follows the failed one.
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
    will_retry: bool = False
    build_response_link: Callable[..., str] | None = field(default=None, repr=False)

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Alert:
        """Build an alert from the context of a task's, a DAG's or a deadline's callback.

        A DAG's context may hold no more than the DAG, the run's ID and a reason. A deadline's is JSON.
        """
        run, ti = context.get("dag_run"), context.get("ti") or context.get("task_instance")
        if isinstance(run, Mapping):  # a deadline's
            dag_id, run_id = str(run.get("dag_id", "")), str(run.get("dag_run_id") or run.get("run_id", ""))
            return cls(dag_id=dag_id, run_id=run_id, event="missed its deadline", link=_link(dag_id, run_id))
        dag_id = str(getattr(context.get("dag"), "dag_id", None) or getattr(ti or run, "dag_id", ""))
        run_id = str(context.get("run_id") or getattr(ti or run, "run_id", ""))
        if ti is None or "reason" in context:
            event = RUN_EVENTS.get(str(context.get("reason")), "failed")
            return cls(dag_id=dag_id, run_id=run_id, event=event, link=_link(dag_id, run_id))
        return cls._from_task_context(context, ti, dag_id, run_id)

    @classmethod
    def _from_task_context(cls, context: Mapping[str, Any], ti: Any, dag_id: str, run_id: str) -> Alert:
        task, error = context.get("task"), context.get("exception")
        map_index = getattr(ti, "map_index", None)
        if map_index is None:
            map_index = -1
        try_number, tries = getattr(ti, "try_number", None) or 1, (getattr(ti, "max_tries", None) or 0) + 1
        ti_state = getattr(ti, "state", None)
        # A killed task has no state here. The DAG processor chooses its callback by the same comparison.
        state = str(getattr(ti_state, "value", ti_state) or ("up_for_retry" if try_number < tries else "failed"))
        link, question, build_response_link = _link(dag_id, run_id, ti.task_id, map_index), "", None
        generate = getattr(task, "generate_link_to_ui_from_context", None)
        if generate and not error and ti_state in (None, "running"):
            state, question = "asks", str(getattr(task, "subject", ""))
            build_response_link = partial(generate, context=context) if link else None
            link = str(build_response_link()) if build_response_link else ""
        return cls(
            dag_id=dag_id,
            run_id=run_id,
            task_id=ti.task_id,
            map_index=map_index,
            event=TASK_EVENTS.get(state, state.replace("_", " ")),
            try_number=try_number,
            tries=tries,
            error=type(error).__name__ if error else "",
            question=question,
            link=link,
            will_retry=state == "up_for_retry",
            build_response_link=build_response_link,
        )

    def answer(self, *options: str) -> str:
        """Return the link to the page that accepts the response, with these options preselected."""
        return str(self.build_response_link(options=list(options))) if self.build_response_link else self.link

    @property
    def name(self) -> str:
        """The subject of the alert: ``dag.task``, ``dag.task[3]``, or the DAG alone."""
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{index}" if self.task_id else self.dag_id or "something"

    @property
    def tag(self) -> str:
        """Six characters that identify the DAG, the task and the event, regardless of run, try and map index."""
        identity = "\n".join((_base_url(), _instance_name(), self.dag_id, self.task_id or "", self.event))
        number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8])
        base = len(TAG_CHARACTERS)
        return "".join(TAG_CHARACTERS[number // base**place % base] for place in range(TAG_LENGTH))

    @property
    def text(self) -> str:
        """The default text, unshortened."""
        return self.text_within(lambda text: True)

    def text_within(self, fits: Callable[[str], bool], zone: tzinfo = UTC, *notes: str, end: str = "") -> str:
        """Return the default text in GSM-7 characters, shortened until it fits.

        Parts are dropped or shortened in this order: the exception and the tries, the middle of the name, the end of
        the question, the link.

        :param fits: Returns whether a text is short enough.
        :param zone: Time zone of the time of day in the text, by default UTC.
        :param notes: Further sentences, which are always kept.
        :param end: Last characters of the text, which are always kept.
        """
        name, question = segments.transliterate(self.name), segments.transliterate(self.question)
        try_number, tries = self.try_number or 0, self.tries or 1
        # "try 1 of 3" would promise two more tries to a task that has failed permanently.
        failed_early = self.event == "failed" and try_number < tries
        try_text = f", try {try_number} of {tries}" if try_number and tries > 1 and not failed_early else ""
        error = f" ({self.error})" if self.error else ""
        run = f", run {segments.transliterate(self.run_id)}"

        def compose(name: str, question: str, details: str, link: str) -> str:
            event = (
                f"{self.event}: {question}" if question else f"{self.event}{details}, {format_time(self.when, zone)}"
            )
            sentence = f"{_instance_name()}: {name} {event}"
            sentence = sentence if link and not notes else f"{sentence}."
            return " ".join(filter(None, (sentence, *notes, link))) + end

        for link in dict.fromkeys((self.link, "")):
            for details in (try_text + error + ("" if link else run), try_text + error, try_text, ""):
                if fits(text := compose(name, question, details, link)):
                    return text
            for length in range(len(name) - 1, MIN_NAME_LENGTH if link else 2, -1):
                if fits(text := compose(_shorten_middle(name, length), question, "", link)):
                    return text
            short_name = _shorten_middle(name, MIN_NAME_LENGTH) if len(name) > MIN_NAME_LENGTH else name
            for length in range(len(question) - 1, MIN_QUESTION_LENGTH, -1):
                if fits(text := compose(short_name, f"{question[:length].rstrip()}...", "", link)):
                    return text
        return segments.shorten(compose(name, question, "", ""), lambda text: fits(text + end)) + end

    def speech(self, zone: tzinfo = UTC) -> str:
        """Return the text that a call reads out.

        :param zone: Time zone of the time of day in the text, by default UTC.
        """
        subject = f"task {self.task_id} of DAG {self.dag_id}" if self.task_id else f"DAG {self.dag_id}"
        question = f": {self.question}" if self.question else ""
        text = f"{_instance_name()} alert. {subject} {self.event}{question}, {format_time(self.when, zone)}."
        return re.sub(r"[_.]+(?=\w)", " ", text)


def format_time(when: datetime, zone: tzinfo) -> str:
    """Return a time of day with its zone, such as ``14:05 UTC``."""
    return when.astimezone(zone).strftime("%H:%M %Z")


def _shorten_middle(name: str, length: int) -> str:
    """Return a name cut to a length in its middle: its beginning and end are the most distinctive."""
    start = (length - 2) // 2
    return f"{name[:start]}..{name[len(name) - (length - 2 - start) :]}"


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _instance_name() -> str:
    name = segments.transliterate(str(conf.get("api", "instance_name", fallback="") or ""))
    return name[:MAX_INSTANCE_NAME_LENGTH].strip() or "Airflow"


def _link(dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1) -> str:
    """Return the address of a run, or of a task's log, escaping less than Airflow does to save characters."""
    base_url = _base_url()
    if not base_url or not dag_id or not run_id:
        return ""
    task = f"/tasks/{quote(task_id)}" if task_id else ""
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{base_url}/dags/{quote(dag_id)}/runs/{quote(run_id, safe=':+')}{task}{mapped}"

"""One send in an Airflow task: what its context says of memory, tries and twins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_twilio.api.errors import OutcomeUnknown
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
from airflow_provider_twilio.runtime.idempotency.send import send_once
from airflow_provider_twilio.runtime.state_store import store_for_task

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Settings

R = TypeVar("R", bound=Record)
OnClear = Literal["resend", "skip"]

KEY_HASH_ROUNDS = 20_000
"""Rounds of hashing that naming a request by what it says takes: about ten milliseconds."""
STORE_KEY = "twilio_sid"
"""The key in the state store, with what it is for behind it, and the key of the XCom."""


class XComSiblings:
    """Tell the other sending tasks of the run, and this task's map indexes, by XCom what this one owns.

    Airflow takes a task's XComs away when its next try starts: it publishes anew what it remembers.

    :param ti: the running task instance.
    :param key: the XCom's key.
    """

    def __init__(self, ti: Any, key: str) -> None:
        self._ti, self._key = ti, key
        self._told = False
        self.owner: list[Any] = [ti.task_id, ti.map_index]

    def publish(self, entry: dict[str, Any], /) -> None:
        # That it may have sent something is told by mapped tasks only: the others seldom send the same.
        if entry["sid"] or self._told or self._ti.map_index >= 0:
            self._ti.xcom_push(key=self._key, value=entry)
            self._told = True

    def entries(self) -> list[dict[str, Any]]:
        found = self._ti.xcom_pull(task_ids=self._task_ids(), key=self._key)
        return [entry for entry in found or () if isinstance(entry, dict) and "owner" in entry]

    def _task_ids(self) -> list[str]:
        dag = getattr(getattr(self._ti, "task", None), "dag", None)
        others = [task.task_id for task in getattr(dag, "tasks", ()) if _sends(task)]
        return list(dict.fromkeys([self._ti.task_id, *others]))


def _sends(task: Any) -> bool:
    return bool(getattr(getattr(task, "operator_class", type(task)), "sends_once", False))


def default_key(settings: Settings, request: Request[Any]) -> str:
    """Name a request by what it says, and by which connection, in a way that doesn't tell what it says.

    The next try must find it, though the credentials, or what the connection supplies, have changed by then: so no
    secret hides what it says. What does is that each guess at a number or text takes as long as the naming has.
    """
    said = json.dumps([settings.conn_id, request.path, request.data]).encode()
    return hashlib.pbkdf2_hmac("sha256", said, settings.account_sid.encode(), KEY_HASH_ROUNDS, dklen=12).hex()


def send_once_in_task(
    context: Mapping[str, Any],
    client: Client,
    request: Request[R],
    *,
    name: str = "",
    on_clear: OnClear = "resend",
    on_unresolved: OnUnresolved | None = None,
    reconcile_timeout: float = RECONCILE_TIMEOUT,
    finalize_request: Callable[[Request[R]], Request[R]] | None = None,
) -> R:
    """Send a request once in a task: see :func:`airflow_provider_twilio.runtime.idempotency.send.send_once`.

    :param context: the task's.
    :param name: tells several sends of one task apart.
    :param on_clear: whether a task that a user has cleared sends again (``resend``), or not (``skip``).
    """
    ti, memory = context.get("ti"), store_for_task(context)
    if ti is None:
        return send_once(
            client,
            memory,
            request,
            key=STORE_KEY,
            on_unresolved=on_unresolved,
            reconcile_timeout=reconcile_timeout,
            finalize_request=finalize_request,
        )
    base = f"{STORE_KEY}.{name}" if name else STORE_KEY

    def of_earlier_clears() -> set[str]:
        states = [memory.get(f"{base}.{number}") for number in range(ti.max_tries)] if memory.durable else []
        return {state["sid"] for state in states if state and state.get("sid")}

    with _reconciled_by_next_try():
        return send_once(
            client,
            memory,
            request,
            # No retry changes `max_tries`, and only clearing this very task raises it.
            key=f"{base}.{ti.max_tries}" if on_clear == "resend" else base,
            reconcile_timeout=reconcile_timeout,
            on_unresolved=on_unresolved,
            siblings=XComSiblings(ti, base),
            claimed_sids=of_earlier_clears if on_clear == "resend" else None,
            possible_since=None if memory.durable else _earliest_send(context, ti, on_clear),
            finalize_request=finalize_request,
        )


@contextmanager
def _reconciled_by_next_try() -> Iterator[None]:
    try:
        yield
    except OutcomeUnknown as error:
        error.will_reconcile = True
        raise


def _earliest_send(context: Mapping[str, Any], ti: Any, on_clear: OnClear) -> datetime | None:
    """Give when an earlier try may have begun, where nothing is remembered; None if this is the first."""
    retries = getattr(getattr(ti, "task", None), "retries", None) or 0
    first = ti.max_tries - retries + 1 if on_clear == "resend" else 1
    if ti.try_number <= max(first, 1):
        return None
    run = context.get("dag_run")
    began: datetime | None = getattr(run, "start_date", None) or ti.start_date
    # Clearing a task of a run that had ended gives the run a new start.
    due: datetime | None = getattr(run, "run_after", None) if on_clear == "skip" else None
    return min(filter(None, (began, due)), default=None)

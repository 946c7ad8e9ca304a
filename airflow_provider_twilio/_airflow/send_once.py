"""Send a request exactly once in an Airflow task: its state store, its tries and its siblings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from airflow_provider_twilio._airflow.state_store import permanent_store_for_task
from airflow_provider_twilio.api.errors import OutcomeUnknown
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
from airflow_provider_twilio.runtime.idempotency.send import send_once
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingEntry

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Settings

R = TypeVar("R", bound=Record)

OnClear = Literal["resend", "skip"]
"""What to do when a user clears a task that has sent its request."""

KEY_HASH_ROUNDS = 20_000
"""Number of hash rounds for a default key, which take about ten milliseconds."""

STORE_KEY = "twilio_sid"
"""Key of the XCom, and prefix of the keys in the state store."""


class XComSiblings:
    """The siblings of a task instance: its mapped task instances, and the other tasks of the run that send once.

    The entries are XComs. Airflow deletes the XComs of a task instance when its next try starts, so each try publishes
    its stored state again.

    :param ti: The running task instance.
    :param key: Key of the XCom.
    """

    def __init__(self, ti: Any, key: str) -> None:
        self._ti, self._key = ti, key
        self._published = False
        self.owner: list[Any] = [ti.task_id, ti.map_index]

    def publish(self, entry: SiblingEntry, /) -> None:
        # Tasks that are not mapped seldom send the same request. They publish an entry only once they have a SID.
        if entry["sid"] or self._published or self._ti.map_index >= 0:
            self._ti.xcom_push(key=self._key, value=entry)
            self._published = True

    def entries(self) -> list[SiblingEntry]:
        found: list[Any] | None = self._ti.xcom_pull(task_ids=self._task_ids(), key=self._key)
        return [cast("SiblingEntry", entry) for entry in found or () if isinstance(entry, dict) and "owner" in entry]

    def _task_ids(self) -> list[str]:
        dag = getattr(getattr(self._ti, "task", None), "dag", None)
        others = [task.task_id for task in getattr(dag, "tasks", ()) if _sends_once(task)]
        return list(dict.fromkeys([self._ti.task_id, *others]))


def _sends_once(task: Any) -> bool:
    """Return whether a task, mapped or not, is one of this package that sends once."""
    return bool(getattr(getattr(task, "operator_class", type(task)), "sends_once", False))


def default_key(settings: Settings, request: Request[Any]) -> str:
    """Return a key that identifies a request by its connection, path and parameters, without revealing them.

    The next try must compute the same key, even if the credentials or the connection's defaults have changed since. The
    hash therefore has no secret key. A slow hash function protects the parameters instead: each guess at a phone number
    or a message body takes as long as computing the key.
    """
    content = json.dumps([settings.conn_id, request.path, request.data]).encode()
    return hashlib.pbkdf2_hmac("sha256", content, settings.account_sid.encode(), KEY_HASH_ROUNDS, dklen=12).hex()


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
    """Send a request exactly once in a task; return its record.

    See :func:`airflow_provider_twilio.runtime.idempotency.send.send_once` for the other parameters and the errors.

    :param context: The context of the task.
    :param name: Distinguishes several requests of one task.
    :param on_clear: Whether a task that a user has cleared sends its request again (``resend``) or returns the record
        of the earlier one (``skip``).
    """
    ti, store = context.get("ti"), permanent_store_for_task(context)
    if ti is None:
        return send_once(
            client,
            store,
            request,
            key=STORE_KEY,
            on_unresolved=on_unresolved,
            reconcile_timeout=reconcile_timeout,
            finalize_request=finalize_request,
        )
    base, earliest = f"{STORE_KEY}.{name}" if name else STORE_KEY, _earliest_send(context, ti, on_clear)
    own_sids = _own_sids(ti)

    def claimed_sids() -> set[str]:
        """Return the SIDs of earlier sends before a Clear, and of other sends of this task."""
        numbers = range(ti.max_tries) if store.durable and on_clear == "resend" else ()
        states = [store.get(f"{base}.{number}") for number in numbers]
        before_clear = {state["sid"] for state in states if state and state.get("sid")}
        return before_clear | {sid for key, sid in own_sids.items() if key != base}

    with _reconciled_by_next_try():
        record = send_once(
            client,
            store,
            request,
            # Retries leave `max_tries` unchanged, and Clear increases that of the cleared task instances only.
            key=f"{base}.{ti.max_tries}" if on_clear == "resend" else base,
            reconcile_timeout=reconcile_timeout,
            on_unresolved=on_unresolved,
            siblings=XComSiblings(ti, base),
            claimed_sids=claimed_sids,
            possible_since=earliest if _may_have_sent(ti, on_clear) else None,
            not_before=earliest,
            is_probably_unsent=store.durable and not _is_cleared(ti, on_clear),
            keep_unsent=True,
            finalize_request=finalize_request,
        )
    own_sids[base] = record.get("sid", "")
    return record


_SIDS: dict[tuple[Any, ...], dict[str, str]] = {}
"""SIDs that this process knows, by task instance and by key of the send."""


def _own_sids(ti: Any) -> dict[str, str]:
    """Return the SIDs of the requests that this task instance has sent, by key. They are known to this process only."""
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
    return _SIDS.setdefault(tuple(getattr(ti, name, None) for name in names), {})


@contextmanager
def _reconciled_by_next_try() -> Iterator[None]:
    """Mark errors of unknown outcome: the next try of the task reconciles."""
    try:
        yield
    except OutcomeUnknown as error:
        error.will_reconcile = True
        raise


def _may_have_sent(ti: Any, on_clear: OnClear) -> bool:
    """Return whether an earlier try of the task may have sent the request, if no state is stored.

    Either the task has no durable state store, or its state is lost: with ``[state_store] clear_on_success``, Airflow
    deletes the state of a task that has succeeded. A try that is certain to have sent nothing stores that.
    """
    first_try = 1 if on_clear == "skip" else max(ti.max_tries - _retries(ti) + 1, 1)
    return bool(ti.try_number > first_try) or _is_cleared(ti, on_clear)


def _is_cleared(ti: Any, on_clear: OnClear) -> bool:
    """Return whether a user has cleared a task that sends its request only once."""
    return on_clear == "skip" and bool(ti.max_tries > _retries(ti))


def _retries(ti: Any) -> int:
    return getattr(getattr(ti, "task", None), "retries", None) or 0


def _earliest_send(context: Mapping[str, Any], ti: Any, on_clear: OnClear) -> datetime | None:
    """Return the earliest time at which any try may have sent the request."""
    run = context.get("dag_run")
    started: datetime | None = getattr(run, "start_date", None) or getattr(ti, "start_date", None)
    # Clearing a task of a completed DAG run gives the run a new start date, but the same `run_after`.
    run_after: datetime | None = getattr(run, "run_after", None) if on_clear == "skip" else None
    return min(filter(None, (started, run_after)), default=None)

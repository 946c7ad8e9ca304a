"""Waiting on a worker: fetch the record and sleep, until the status is final.

The task occupies its worker slot meanwhile.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_twilio.api.errors import NotFound, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.runtime.polling.events import WaitEvent, evaluate, missing, rejected, timed_out
from airflow_provider_twilio.runtime.polling.shared import Source
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import NOT_FOUND_GRACE

if TYPE_CHECKING:
    from airflow_provider_twilio.api.operation import BlockingClient

log = logging.getLogger(__name__)

RECHECK_DELAY = 1.0
"""Seconds after which a record that was not found is fetched once more."""


def wait_blocking(spec: WaitSpec[Goal], source: Source, client: BlockingClient) -> WaitEvent:
    """Wait until a record reaches its final status or the deadline, and return the event."""
    log.info("Waiting for %s", spec.sid)
    deadline = math.inf if spec.deadline is None else spec.deadline
    time.sleep(max(0.0, min(spec.not_before, deadline) - time.time()))
    while (event := check_once(spec, source, client)) is None:
        time.sleep(max(0.0, min(spec.interval, deadline - time.time())))
    return event


def check_at_deadline(spec: WaitSpec[Goal], source: Source, client: BlockingClient) -> tuple[WaitEvent, Record]:
    """Fetch a record for the last time; return the event, and the record if its goal is reached."""
    spec = replace(spec, deadline=min(time.time(), math.inf if spec.deadline is None else spec.deadline))
    event, record = _check(spec, source, client)
    if event is None:
        return timed_out(spec.sid, "it was not found"), Record()
    return event, record if event["outcome"] == "reached" and record is not None else Record()


def check_once(spec: WaitSpec[Goal], source: Source, client: BlockingClient) -> WaitEvent | None:
    """Fetch a record once and return the event it leads to, or None to check again later."""
    event, _ = _check(spec, source, client)
    return event


def _check(spec: WaitSpec[Goal], source: Source, client: BlockingClient) -> tuple[WaitEvent | None, Record | None]:
    """Fetch a record once; return the event it leads to, or None to check again later, and the record if found."""
    try:
        record = _fetch(spec, source, client)
    except NotFound as error:
        return missing(spec.sid, error), None
    except TwilioError as error:
        if error.permanent:
            return rejected(spec.sid, error), None
        log.warning("Cannot fetch %s, trying again after the polling interval: %s", spec.sid, error)
        return _at_deadline(spec, str(error)), None
    if record is None:
        return _at_deadline(spec, "it was not found"), None
    log.info("%s is %s", spec.sid, record.get("status"))
    event = evaluate(spec.goal, spec.sid, record)
    return event or _at_deadline(spec, f"its last status is {record.get('status')}", record), record


def _fetch(spec: WaitSpec[Goal], source: Source, client: BlockingClient) -> Record | None:
    """Fetch the record, or return None if Twilio may not find it yet.

    That is in the first minute after its creation.

    :raises NotFound: The record was not found twice in a row.
    """
    request: Request[Record] = source.fetch(spec.sid)
    try:
        return client.send(request)
    except NotFound:
        if time.time() - spec.created < NOT_FOUND_GRACE:
            return None
    time.sleep(RECHECK_DELAY)
    return client.send(request)


def _at_deadline(spec: WaitSpec[Goal], detail: str, record: Record | None = None) -> WaitEvent | None:
    """Return the event of the timeout if the deadline has passed."""
    if spec.deadline is None or time.time() < spec.deadline:
        return None
    return timed_out(spec.sid, detail, record)

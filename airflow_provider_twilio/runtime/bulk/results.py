"""The results table of a bulk send, in CSV or JSON Lines: one line for each row, in the order of the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.plan import PlannedMessage
from airflow_provider_twilio.runtime.bulk.stored import decode_outcome

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.reconcile import MessageStatus

COLUMNS = ("row", "to", "outcome", "sid", "status", "error_code", "reason", "segments", "price", "price_unit")
EXTENSIONS = (".csv", ".jsonl", ".ndjson")
OUTCOMES = {"done": "sent"}
"""Outcome kinds that the table shows under another name."""


def check(path: str) -> None:
    """Check that a path has a supported extension.

    :raises BadParameter: If it has another one.
    """
    if not path.lower().endswith(EXTENSIONS):
        raise BadParameter("results", "has an unknown extension", f"pass a path that ends with {', '.join(EXTENSIONS)}")


def table(
    planned: Iterable[PlannedMessage], stored: Iterable[Any], statuses: Mapping[str, MessageStatus], default: str
) -> Iterator[dict[str, Any]]:
    """Yield the result of each row.

    :param planned: The messages of all rows.
    :param stored: Stored outcomes of the messages to send, in order.
    :param statuses: Current statuses of the messages by SID; empty if Twilio was not queried.
    :param default: Outcome of a message without a stored outcome.
    """
    outcomes = iter(stored)
    for message in planned:
        result: dict[str, Any] = {"row": message.number, "to": message.to, "segments": message.segments or None}
        if message.fault is not None:
            yield {**result, "outcome": "failed", "reason": str(message.fault)}
        elif message.request is None:
            yield {**result, "outcome": "duplicate"}
        else:
            outcome = next(outcomes, None)
            if outcome is None:
                yield {**result, "outcome": default}
                continue
            kind, send_error, sid = decode_outcome(outcome)
            status, delivery_error, price, unit = statuses.get(sid or "", (None, None, None, None))
            code = send_error or delivery_error or 0
            yield {
                **result,
                "outcome": OUTCOMES.get(kind, kind),
                "sid": sid,
                "status": status,
                "error_code": code or None,
                "reason": codes.MEANINGS.get(code),
                "price": price,
                "price_unit": unit,
            }


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write results to a local file, in the format of its extension."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if str(path).lower().endswith(".csv"):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            for row in rows:
                present = {name: row[name] for name in COLUMNS if row.get(name) is not None}
                file.write(json.dumps(present, ensure_ascii=False) + "\n")

"""Write what became of each row: a table in CSV or JSON Lines, a row each, as the rows came."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.checkpoints import decode_outcome
from airflow_provider_twilio.runtime.bulk.plan import PlannedMessage

COLUMNS = ("row", "to", "outcome", "sid", "status", "error_code", "reason", "segments", "price", "price_unit")
KINDS = (".csv", ".jsonl", ".ndjson")
OUTCOMES = {"done": "sent"}

States = Mapping[str, tuple[str, int | None, str | None, str | None]]


def check(path: str) -> None:
    """Require a path of a kind that can be written."""
    if not path.lower().endswith(KINDS):
        raise BadParameter("results", "is a path of an unknown kind", f"give one that ends with {', '.join(KINDS)}")


def table(
    planned: Iterable[PlannedMessage], remembered: Iterable[Any], states: States, unsent: str
) -> Iterator[dict[str, Any]]:
    """Tell of each row what became of it.

    :param remembered: what is remembered of each that was to be sent, in order.
    :param states: what Twilio says of each message by now, if it was asked.
    :param unsent: the outcome of what nothing is remembered of.
    """
    entries = iter(remembered)
    for one in planned:
        told: dict[str, Any] = {"row": one.number, "to": one.to, "segments": one.segments or None}
        if one.fault is not None:
            yield {**told, "outcome": "failed", "reason": str(one.fault)}
        elif one.request is None:
            yield {**told, "outcome": "duplicate"}
        else:
            entry = next(entries, None)
            if entry is None:
                yield {**told, "outcome": unsent}
                continue
            kind, code, sid = decode_outcome(entry)
            status, failure, price, unit = states.get(sid or "", (None, None, None, None))
            code = code or failure or 0
            yield {
                **told,
                "outcome": OUTCOMES.get(kind, kind),
                "sid": sid,
                "status": status,
                "error_code": code or None,
                "reason": codes.MEANINGS.get(code),
                "price": price,
                "price_unit": unit,
            }


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows to a local file, as its name's ending says."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if str(path).lower().endswith(".csv"):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            for row in rows:
                held = {name: row[name] for name in COLUMNS if row.get(name) is not None}
                file.write(json.dumps(held, ensure_ascii=False) + "\n")

"""Kill -9 at random moments: one number is purchased, no operation runs twice, and the reports are complete."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, RedactOldMessagesOperator
from airflow_provider_twilio.operators.phone_numbers import EnsureNumberOperator, ReleaseNumbersOperator
from tests.support.tries import until_done

pytestmark = pytest.mark.slow


def count_outcomes(report: Path) -> Counter[str]:
    return Counter(row["outcome"] for row in csv.DictReader(report.read_text().splitlines()))


def test_ensure_number_killed_repeatedly_purchases_one_number(emulator: Emulator, tmp_path: Path):
    emulator.quirks.set(latency=0.05)
    arguments = {"friendly_name": "alerts", "country": "US", "area_code": 415, "reconcile_timeout": 1}
    killed, run = 0, 0
    while killed < 20:
        run += 1
        result, kills = until_done(
            EnsureNumberOperator,
            arguments,
            tmp_path / str(run),
            f"{emulator.connection_uri}/?timeout=1",
            kills=5,
            within=0.6,
        )
        killed += kills
        (owned,) = (number for number in emulator.numbers if number["friendly_name"] == "alerts")
        assert result["sid"] == owned["sid"]
        if run in (1, 2):  # released, so that the next run has a number to purchase
            TwilioHook().incoming_phone_numbers.delete(owned["sid"])
    purchases = [entry for entry in emulator.journal.find("POST", "IncomingPhoneNumbers.json") if entry.status == 201]
    assert len(purchases) == 3


@pytest.mark.parametrize("operator", [RedactOldMessagesOperator, DeleteOldMessagesOperator])
def test_retention_operator_resumes_after_kill(emulator: Emulator, tmp_path: Path, operator: type[Any]):
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    hook = TwilioHook()
    for number in range(300):
        hook.messages.create(to="+14155550123", from_="+15005550006", body=f"secret {number}")
    emulator.clock.reset()
    emulator.quirks.set(latency=0.02)
    report = tmp_path / "report.csv"
    arguments = {"days": 30, "report": str(report), "apply": True, "concurrency": 3}
    result, killed = until_done(operator, arguments, tmp_path / "task", emulator.connection_uri, kills=4, within=1.5)
    assert killed >= 1
    assert (result["records"], result[operator.done_outcome], result["left"], result["failed"]) == (300, 300, 0, 0)
    assert count_outcomes(report) == {operator.done_outcome: 300}
    verb = "POST" if operator is RedactOldMessagesOperator else "DELETE"
    done = Counter(entry.path for entry in emulator.journal.find(verb, "Messages/SM") if entry.status in (200, 204))
    # Twilio may have carried out a request that the kill interrupted. At most those requests are made again.
    assert len(done) == 300
    assert sum(done.values()) - len(done) <= 3 * killed


def test_release_numbers_operator_resumes_after_kill(emulator: Emulator, tmp_path: Path):
    hook = TwilioHook()
    offers = hook.available_phone_numbers.list("US", area_code=415, limit=60)
    sids = [hook.incoming_phone_numbers.create(phone_number=str(offer.phone_number)).sid for offer in offers]
    emulator.quirks.set(latency=0.02)
    report = tmp_path / "report.csv"
    arguments = {"phone_numbers": sids, "report": str(report), "apply": True, "max_releases": 60}
    rows, killed = until_done(
        ReleaseNumbersOperator, arguments, tmp_path / "task", emulator.connection_uri, kills=4, within=0.8
    )
    assert killed >= 1
    assert sorted(row["sid"] for row in rows) == sorted(sids)
    assert count_outcomes(report) == {"released": 60}
    released = [entry.path for entry in emulator.journal.find("DELETE") if entry.status == 204]
    assert len(released) == len(set(released)) == 60
    assert len(emulator.numbers) == 1

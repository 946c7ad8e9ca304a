"""Kill -9 at random moments: one number is bought, nothing is done twice, and the reports add up."""

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


def outcomes(report: Path) -> Counter[str]:
    return Counter(row["outcome"] for row in csv.DictReader(report.read_text().splitlines()))


def test_one_number_is_bought_however_often_it_is_killed(emulator: Emulator, tmp_path: Path):
    emulator.quirks.set(latency=0.05)
    given = {"friendly_name": "alerts", "country": "US", "area_code": 415, "reconcile_timeout": 1}
    killed, run = 0, 0
    while killed < 20:
        run += 1
        number, kills = until_done(
            EnsureNumberOperator,
            given,
            tmp_path / str(run),
            f"{emulator.connection_uri}/?timeout=1",
            kills=5,
            within=0.6,
        )
        killed += kills
        (ours,) = (each for each in emulator.numbers if each["friendly_name"] == "alerts")
        assert number["sid"] == ours["sid"]
        if run in (1, 2):  # released in between, so that there is something to buy again
            TwilioHook().incoming_phone_numbers.delete(ours["sid"])
    bought = [entry for entry in emulator.journal.find("POST", "IncomingPhoneNumbers.json") if entry.status == 201]
    assert len(bought) == 3


@pytest.mark.parametrize("kind", [RedactOldMessagesOperator, DeleteOldMessagesOperator])
def test_retention_goes_on_where_it_was(emulator: Emulator, tmp_path: Path, kind: type[Any]):
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    hook = TwilioHook()
    for number in range(300):
        hook.messages.create(to="+14155550123", from_="+15005550006", body=f"secret {number}")
    emulator.clock.reset()
    emulator.quirks.set(latency=0.02)
    report = tmp_path / "report.csv"
    given = {"days": 30, "report": str(report), "apply": True, "concurrency": 3}
    told, killed = until_done(kind, given, tmp_path / "task", emulator.connection_uri, kills=4, within=1.5)
    assert killed >= 1
    assert (told["records"], told[kind.done], told["left"], told["failed"]) == (300, 300, 0, 0)
    assert outcomes(report) == {kind.done: 300}
    verb = "POST" if kind is RedactOldMessagesOperator else "DELETE"
    done = Counter(entry.path for entry in emulator.journal.find(verb, "Messages/SM") if entry.status in (200, 204))
    # A request that the kill has cut off may have been carried out: that, at the most, is asked for again.
    assert len(done) == 300
    assert sum(done.values()) - len(done) <= 3 * killed


def test_release_goes_on_where_it_was(emulator: Emulator, tmp_path: Path):
    hook = TwilioHook()
    offers = hook.available_phone_numbers.list("US", area_code=415, limit=60)
    sids = [hook.incoming_phone_numbers.create(phone_number=str(offer.phone_number)).sid for offer in offers]
    emulator.quirks.set(latency=0.02)
    report = tmp_path / "report.csv"
    given = {"phone_numbers": sids, "report": str(report), "apply": True, "max_releases": 60}
    rows, killed = until_done(
        ReleaseNumbersOperator, given, tmp_path / "task", emulator.connection_uri, kills=4, within=0.8
    )
    assert killed >= 1
    assert sorted(row["sid"] for row in rows) == sorted(sids)
    assert outcomes(report) == {"released": 60}
    released = [entry.path for entry in emulator.journal.find("DELETE") if entry.status == 204]
    assert len(released) == len(set(released)) == 60
    assert len(emulator.numbers) == 1

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api


def test_clock_advance_adds_all_units(emulator: Emulator) -> None:
    before = emulator.clock.now()
    emulator.clock.advance(1, minutes=2, hours=3, days=4)
    assert emulator.clock.now() - before == 1 + 2 * 60 + 3 * 3600 + 4 * 86_400


@pytest.mark.parametrize(
    "by", [{"seconds": -1}, {"seconds": float("nan")}, {"seconds": 1e12}, {"days": 1e9}, {"hours": float("inf")}]
)
def test_clock_advance_rejects_times_outside_range(emulator: Emulator, api: Api, by: dict[str, Any]) -> None:
    before = emulator.clock.now()
    with pytest.raises(ValueError, match="the clock"):
        emulator.clock.advance(**by)
    assert emulator.clock.now() == before
    assert api.send()["date_created"]


@pytest.mark.parametrize(
    "at",
    [datetime(1969, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
)
def test_clock_freeze_rejects_times_outside_range(emulator: Emulator, api: Api, at: datetime) -> None:
    with pytest.raises(ValueError, match="the clock"):
        emulator.clock.freeze(at)
    assert api.send()["date_created"]


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, 23, tzinfo=UTC)])
def test_emulator_works_at_both_ends_of_clock_range(emulator: Emulator, api: Api, at: datetime) -> None:
    emulator.clock.freeze(at)
    emulator.quirks.set(list_lag=1e9, status_lag=1e9, price_lag=1e9)
    api.send()
    api.post("Calls.json", To="+14155550100", From=emulator.phone_number, Url="http://example.com/")
    for path in ("Messages", "Calls", "Recordings", "IncomingPhoneNumbers", "Usage/Records", "Usage/Records/AllTime",
                 "Usage/Records/Daily", "Usage/Records/LastMonth", "Balance"):  # fmt: skip
        assert api("GET", f"{path}.json").status_code == 200, path
    assert api("GET", "/").status_code == 200

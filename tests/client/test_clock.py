"""Twilio's clock, as both clients read it from responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.clock import MAX_DURATION, TwilioClock
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator, serve

SID = "SM" + "b" * 32
DATE = "Fri, 14 Oct 2016 14:17:51 GMT"


def offset_after_request(settings: Settings) -> float | None:
    with Client(settings) as client, client.with_settings(retries=0) as single:
        try:
            single.messages.fetch(SID)
        except TwilioError:
            pass
        return client.twilio_clock.offset(datetime.now(UTC))


def offset_after_async_request(settings: Settings) -> float | None:
    async def measure() -> float | None:
        async with AsyncClient(settings) as client:
            try:
                await client.messages.fetch(SID)
            except TwilioError:
                pass
            return client.twilio_clock.offset(datetime.now(UTC))

    return asyncio.run(measure())


@pytest.mark.parametrize("measure", [offset_after_request, offset_after_async_request], ids=["blocking", "async"])
def test_twilio_clock_after_request_shows_offset(measure: Callable[[Settings], float | None]):
    with serve() as emulator:
        assert measure(settings_of(emulator)) == 0.0  # within the resolution
        emulator.clock.advance(3600)
        assert measure(settings_of(emulator)) == pytest.approx(3600, abs=2)
        emulator.fail_next(status=400)
        assert measure(settings_of(emulator)) == pytest.approx(3600, abs=2)
        emulator.fail_next(status=502)
        assert measure(settings_of(emulator, retries=0)) is None


def settings_of(emulator: Emulator, **changes: Any) -> Settings:
    auth = Basic(emulator.account_sid, emulator.auth_token)
    return Settings(account_sid=emulator.account_sid, auth=auth, base=emulator.url, **changes)


@pytest.mark.parametrize("date", [DATE, DATE.replace("GMT", "-0000")])
def test_twilio_clock_reads_date_in_utc(date: str):
    clock = TwilioClock()
    clock.observe(Response(200, {"date": date}, b""), time.monotonic())
    now = clock.now()
    assert now is not None
    assert timedelta() <= now - datetime(2016, 10, 14, 14, 17, 51, tzinfo=UTC) <= timedelta(seconds=1.5)


def test_twilio_clock_ignores_unusable_dates():
    clock, now = TwilioClock(), time.monotonic()
    malformed = ("", "soon", "Fri, 99 Oct 2016 14:17:51 GMT", "Fri, 14 Oct 2016 14:17:51 +9999")
    for date in (*malformed, DATE.replace("2016", "9" * 12), DATE.replace("GMT", "+" + "9" * 12)):
        clock.observe(Response(200, {"date": date}, b""), now)
    clock.observe(Response(200, {}, b""), now)
    clock.observe(Response(503, {"date": DATE}, b""), now)
    clock.observe(Response(200, {"date": DATE}, b""), now - MAX_DURATION - 1)
    assert clock.now() is None
    assert clock.offset(datetime.now(UTC)) is None

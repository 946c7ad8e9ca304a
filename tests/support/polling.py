"""Helpers for tests of the shared polls: a connection to the emulator, polling for a condition, and cleaning up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_twilio.client.settings import Settings
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.polling.shared import SharedPoll


@dataclass
class Connection:
    """The fields of an Airflow connection that settings read."""

    login: str | None
    password: str | None
    host: str | None
    port: int | None = None
    extra: str | None = None
    conn_id: str = "twilio_default"


def settings(emulator: Emulator, **fields: Any) -> Settings:
    """Return the settings of a connection to an emulator, without retries."""
    connection = Connection(emulator.account_sid, emulator.auth_token, emulator.url)
    return replace(Settings.from_connection(replace(connection, **fields)), retries=0)


async def until(condition: Any, pause: float = 0.01) -> None:
    """Wait until a condition is true, checking it after each pause, in seconds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (a server signals no event)
            await asyncio.sleep(pause)


async def end(tasks: Sequence[asyncio.Task[Any]], poll_type: type[SharedPoll[Any]]) -> None:
    """Cancel the waits, and check that no poll is left."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not any(task.get_name().startswith("twilio-poll") for task in asyncio.all_tasks()))
    assert not poll_type._registries.get(asyncio.get_running_loop())

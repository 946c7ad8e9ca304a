"""What tests of the common polls share: a connection to the emulator, patience, and a clean end."""

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
    """An Airflow connection, as far as settings read it."""

    login: str | None
    password: str | None
    host: str | None
    port: int | None = None
    extra: str | None = None
    conn_id: str = "twilio_default"


def settings(emulator: Emulator, **fields: Any) -> Settings:
    """Give the settings of a connection to an emulator, which does not repeat what fails."""
    connection = Connection(emulator.account_sid, emulator.auth_token, emulator.url)
    return replace(Settings.from_connection(replace(connection, **fields)), retries=0)


async def until(condition: Any, pause: float = 0.01) -> None:
    """Wait till a function gives something true, asking it again after so many seconds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (what happens in a server tells no event)
            await asyncio.sleep(pause)


async def end(tasks: Sequence[asyncio.Task[Any]], kind: type[SharedPoll[Any]]) -> None:
    """End all who wait, and see that they leave no poll behind."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not any(task.get_name().startswith("twilio-poll") for task in asyncio.all_tasks()))
    assert not kind._of_loop.get(asyncio.get_running_loop())

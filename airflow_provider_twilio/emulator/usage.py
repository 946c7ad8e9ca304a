"""Balance and usage: https://www.twilio.com/docs/usage/api/usage-record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_twilio.emulator.world import Charge

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.messages import Message
    from airflow_provider_twilio.emulator.world import Account


def bury(account: Account, record: Message, now: float) -> None:
    """Keep what a record has cost that is about to be deleted."""
    charge = account.gone.setdefault((record.day, record.category), Charge())
    charge.count += 1
    charge.usage += record.segments
    charge.price += record.price

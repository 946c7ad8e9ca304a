"""The numbers that an account owns: https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.world import Account, World


@dataclass(slots=True, eq=False)
class Number:
    """Hold a number and where its calls and messages go."""

    sid: str
    seq: int
    created: float
    account_sid: str
    phone_number: str
    friendly_name: str
    kind: str = "local"
    capabilities: dict[str, bool] = field(default_factory=lambda: {"voice": True, "sms": True, "mms": True})
    settings: dict[str, str | bool] = field(default_factory=dict)
    updated: float = 0.0
    key: float = 0.0


def own(world: World, account: Account, phone_number: str, friendly_name: str | None = None) -> Number:
    """Give an account a number."""
    now = world.clock.now()
    number = Number(
        sid=world.sid("PN"),
        seq=world.next(),
        created=now,
        account_sid=account.sid,
        phone_number=phone_number,
        friendly_name=friendly_name or phone_number,
        updated=now,
        key=now,
    )
    account.numbers.add(number)
    return number

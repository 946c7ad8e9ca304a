"""Phone numbers of an account.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_twilio.emulator.params import Address

MONTH = 30 * 86_400.0
"""Seconds that one rent pays for."""


@dataclass(slots=True, eq=False)
class PhoneNumber:
    """A phone number of an account, and its webhooks."""

    sid: str
    seq: int
    created: float
    account_sid: str
    phone_number: str
    friendly_name: str
    type: str = "local"
    capabilities: dict[str, bool] = field(
        default_factory=lambda: {"voice": True, "sms": True, "mms": True, "fax": False}
    )
    settings: dict[str, Any] = field(default_factory=dict)
    updated: float = 0.0
    sort_key: float = 0.0
    rent: float = 0.0
    address_requirements: str = "none"
    beta: bool = False

    segments = 1

    @property
    def category(self) -> str:
        """The usage category that the number is counted in."""
        return f"phonenumbers-{self.type.replace('_', '')}"

    def days(self, now: float) -> list[int]:
        """Return the days on which rent was charged so far: in advance, each month."""
        months = 1 + int((now - self.created) // MONTH)
        return [int((self.created + month * MONTH) // 86_400) for month in range(months)]

    def addresses(self, channel: str) -> list[Address]:
        """Return the webhook for messages (``sms``) or calls (``voice``), then its fallback."""
        settings = self.settings
        found = [
            (settings.get(f"{name}_url") or "", settings.get(f"{name}_method", "POST"))
            for name in (channel, f"{channel}_fallback")
        ]
        return [address for address in found if address[0]] if found[0][0] else []

    @property
    def price(self) -> float:
        return self.rent

    def charged(self, now: float) -> float:
        """Return the price charged on each of its :meth:`days`."""
        return self.rent


def national_format(number: str) -> str:
    """Format a North American number as people write it; return any other address unchanged."""
    if number.startswith("+1") and len(number) == 12:
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number

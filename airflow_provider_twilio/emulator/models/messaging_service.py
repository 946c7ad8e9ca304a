"""Messaging services and their sender pools.

https://www.twilio.com/docs/messaging/api/service-resource
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber
from airflow_provider_twilio.emulator.params import Address
from airflow_provider_twilio.emulator.record_store import RecordStore

FLAGS = (
    "sticky_sender", "mms_converter", "smart_encoding", "fallback_to_long_code", "area_code_geomatch",
    "use_inbound_webhook_on_number", "synchronous_validation",
)  # fmt: skip
URLS = ("inbound_request_url", "fallback_url", "status_callback")
METHODS = ("inbound_method", "fallback_method")
DEFAULTS: dict[str, Any] = {
    **{name: name not in ("synchronous_validation", "use_inbound_webhook_on_number") for name in FLAGS},
    **dict.fromkeys(URLS),
    **dict.fromkeys(METHODS, "POST"),
    "scan_message_content": "inherit",
    "validity_period": 36_000,
    "usecase": "undeclared",
}


@dataclass(slots=True, eq=False)
class PoolMember:
    """The membership of a phone number in a sender pool."""

    sid: str
    seq: int
    created: float
    sort_key: float


@dataclass(slots=True, eq=False)
class MessagingService:
    """A messaging service: settings, and a pool of senders."""

    sid: str
    seq: int
    created: float
    account_sid: str
    friendly_name: str
    sort_key: float
    updated: float
    settings: dict[str, Any] = field(default_factory=DEFAULTS.copy)
    pool: RecordStore[PoolMember] = field(default_factory=RecordStore)
    """Its members have the SIDs of the account's phone numbers."""

    def addresses(self, number: PhoneNumber) -> list[Address]:
        """Return the webhook for messages to a number of the pool, then its fallback."""
        settings = self.settings
        if settings["use_inbound_webhook_on_number"]:
            return number.addresses("sms")
        first = settings["inbound_request_url"], settings["inbound_method"]
        second = settings["fallback_url"], settings["fallback_method"]
        return [address for address in (first, second) if address[0]] if first[0] else []

    def senders(self, numbers: RecordStore[PhoneNumber]) -> list[str]:
        """Return the phone numbers of the pool that can send messages.

        :param numbers: The phone numbers of the service's account.
        """
        members = [numbers.get(member.sid) for member in self.pool]
        return [number.phone_number for number in members if number is not None and number.capabilities["sms"]]

    def sender_for(self, numbers: RecordStore[PhoneNumber], to: str) -> str:
        """Return the sender for a recipient: always the same one, as with a sticky sender."""
        pool = self.senders(numbers)
        sender = pool[sum(to.encode()) % len(pool)]
        return f"whatsapp:{sender}" if to.startswith("whatsapp:") else sender

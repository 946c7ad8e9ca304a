"""Accounts, API keys, and everything that an account owns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.models.call import Call, Recording
from airflow_provider_twilio.emulator.models.message import Message
from airflow_provider_twilio.emulator.models.messaging_service import MessagingService
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber
from airflow_provider_twilio.emulator.record_store import RecordStore
from airflow_provider_twilio.emulator.usage_totals import UsageTotals


@dataclass(slots=True, eq=False)
class ApiKey:
    """An API key. ``type`` is ``main``, ``standard`` or ``restricted``."""

    sid: str
    secret: str
    type: str
    account_sid: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a request's credentials.

    ``type`` is ``account`` for an auth token, ``oauth``, ``test``, or the type of an API key.
    """

    account_sid: str
    type: str
    name: str


@dataclass(eq=False)
class Account:
    """An account, and everything that it owns."""

    sid: str
    seq: int
    created: float
    auth_token: str
    friendly_name: str
    owner_sid: str
    status: str = "active"
    updated: float = 0.0
    messages: RecordStore[Message] = field(default_factory=lambda: RecordStore(("to", "sender")))
    calls: RecordStore[Call] = field(default_factory=lambda: RecordStore(("to", "caller")))
    numbers: RecordStore[PhoneNumber] = field(default_factory=RecordStore)
    recordings: RecordStore[Recording] = field(default_factory=RecordStore)
    services: RecordStore[MessagingService] = field(default_factory=RecordStore)
    opted_out: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of a sender or messaging service SID, and the recipient who replied STOP."""
    last_whatsapp_messages: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a WhatsApp user last wrote to a number of the account, by number and user."""
    verified_numbers: set[str] = field(default_factory=set)
    """Numbers that a trial account may send to and call."""
    usage_totals: UsageTotals = field(default_factory=UsageTotals)
    sort_key: float = 0.0

    def __post_init__(self) -> None:
        self.sort_key = self.created
        self.updated = self.updated or self.created

    def delete(self, store: RecordStore[Any], record: Any, now: float) -> None:
        """Remove a record that is deleted, or will not come to be. Its price so far stays counted."""
        self.usage_totals.archive(store, record, now)
        store.remove(record)

    @property
    def is_main(self) -> bool:
        return self.owner_sid == self.sid

    @property
    def uri(self) -> str:
        return f"/{VERSION}/Accounts/{self.sid}"

    def find_number(self, phone_number: str) -> PhoneNumber | None:
        """Return the account's record of a phone number; None if it does not own the number."""
        return next((number for number in self.numbers if number.phone_number == phone_number), None)

"""The state of an emulator: its accounts and everything they own.

It is plain Python, without HTTP or globals.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from secrets import token_hex

from airflow_provider_twilio.emulator.clock import Clock
from airflow_provider_twilio.emulator.credentials import ACCOUNT_SID, TEST_ACCOUNT_SID, Credentials
from airflow_provider_twilio.emulator.faults import Faults, Quirks
from airflow_provider_twilio.emulator.journal import Journal
from airflow_provider_twilio.emulator.models.account import Account, ApiKey, Identity
from airflow_provider_twilio.emulator.models.call import Call
from airflow_provider_twilio.emulator.models.callback import CallbackAttempt
from airflow_provider_twilio.emulator.models.message import Message
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber, national_format
from airflow_provider_twilio.emulator.record_store import RecordStore

FIRST_NUMBER = "+15005550006"
START_BALANCE = 100.0
"""Balance of a new emulator, in USD."""
TOKEN_LIFETIME = 3600
"""Lifetime of an OAuth access token, in seconds."""
MAX_CALLBACK_ATTEMPTS = 100_000
"""Number of callback attempts that are kept."""


class State:
    """Everything that an emulator knows. Every reader and writer holds :attr:`lock`.

    :param credentials: Credentials to accept.
    :param callbacks: Initial value of the ``callbacks`` quirk.
    :param is_exposed: Whether other machines can reach the emulator. They can then neither change the ``callbacks``
        quirk nor read the credentials.
    """

    def __init__(
        self, clock: Clock, credentials: Credentials, callbacks: str = "local", *, is_exposed: bool = False
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.base_url = ""
        """The address that the emulator is served at."""
        self.journal = Journal()
        self.faults = Faults()
        self.credentials = credentials
        self.initial_callbacks = callbacks
        self.is_exposed = is_exposed
        self.quirks = Quirks(callbacks=callbacks)
        self.random = _seeded_random()
        self.on_change: Callable[[Message | Call], None] = lambda record: None
        """Called with a message or call when it is created or changed, if it may have callbacks to send."""
        self.on_reset: Callable[[], None] = lambda: None
        self.callback_attempts: deque[CallbackAttempt] = deque(maxlen=MAX_CALLBACK_ATTEMPTS)
        """The callback requests, oldest first."""
        self._set_up()

    def _set_up(self) -> None:
        self.last_seq = 0
        """The sequence number of the newest record."""
        self.accounts: RecordStore[Account] = RecordStore()
        self.keys: dict[str, ApiKey] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        """The account SID and the expiry of each OAuth access token."""
        self.identities: dict[str, Identity] = {}
        """The identities of Authorization headers that have been checked."""
        now, credentials = self.clock.now(), self.credentials
        self.main = Account(ACCOUNT_SID, self.next_seq(), now, credentials.auth_token, "Emulator", ACCOUNT_SID)
        self.accounts.add(self.main)
        self.test_account = Account(TEST_ACCOUNT_SID, 0, now, credentials.test_auth_token, "Test", TEST_ACCOUNT_SID)
        """The account of the test credentials. It owns nothing and is not listed."""
        keys = {
            "main": credentials.main_key,
            "standard": credentials.standard_key,
            "restricted": credentials.restricted_key,
        }
        for type_, (sid, secret) in keys.items():
            self.keys[sid] = ApiKey(sid, secret, type_, self.main.sid)
        self.add_number(self.main, FIRST_NUMBER)

    def reset(self) -> None:
        """Start over: one account with one number, an empty journal, no faults, the real time."""
        with self.lock:
            self.clock.reset()
            self.journal.clear()
            self.faults.clear()
            self.callback_attempts.clear()
            self.on_reset()
            self.quirks = Quirks(callbacks=self.initial_callbacks)
            self.random = _seeded_random()
            self._set_up()

    def next_seq(self) -> int:
        """Return the sequence number for a new record."""
        self.last_seq += 1
        return self.last_seq

    @staticmethod
    def new_sid(prefix: str) -> str:
        return prefix + token_hex(16)

    def owner_of(self, phone_number: str) -> tuple[Account, PhoneNumber] | None:
        """Return the account that owns a phone number, and its record of it."""
        for account in self.accounts:
            number = account.find_number(phone_number)
            if number is not None:
                return account, number
        return None

    def add_number(self, account: Account, phone_number: str) -> PhoneNumber:
        """Add a phone number to an account without a purchase."""
        now = self.clock.now()
        number = PhoneNumber(
            sid=self.new_sid("PN"),
            seq=self.next_seq(),
            created=now,
            account_sid=account.sid,
            phone_number=phone_number,
            friendly_name=national_format(phone_number),
            updated=now,
            sort_key=now,
        )
        account.numbers.add(number)
        return number


def _seeded_random() -> random.Random:
    return random.Random(0)  # noqa: S311 (for jitter; the same numbers in each run)

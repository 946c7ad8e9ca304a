"""The state of one emulator: accounts and what they own. Plain Python, no HTTP, no globals."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.emulator.clock import Clock
from airflow_provider_twilio.emulator.faults import Faults, Quirks
from airflow_provider_twilio.emulator.journal import Journal
from airflow_provider_twilio.emulator.ledger import Ledger
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.shelf import Shelf
from airflow_provider_twilio.emulator.wire import BASE, not_found

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.calls import CallRecord
    from airflow_provider_twilio.emulator.messages import Message
    from airflow_provider_twilio.emulator.numbers import Number
    from airflow_provider_twilio.emulator.recordings import Recording
    from airflow_provider_twilio.emulator.services import Service
    from airflow_provider_twilio.emulator.webhooks import Delivery

ACCOUNT_SID = "AC" + "e" * 31 + "1"
AUTH_TOKEN = "e1" * 16
MAIN_KEY = ("SK" + "e" * 31 + "1", "main-key-secret")
STANDARD_KEY = ("SK" + "e" * 31 + "2", "standard-key-secret")
RESTRICTED_KEY = ("SK" + "e" * 31 + "3", "restricted-key-secret")
OAUTH_CLIENT = ("OQ" + "e" * 31 + "1", "oauth-client-secret")
TEST_ACCOUNT_SID = "AC" + "e" * 31 + "2"
TEST_AUTH_TOKEN = "e2" * 16
FIRST_NUMBER = "+15005550006"
START_BALANCE = 100.0
TOKEN_LIFE = 3600


@dataclass(slots=True, eq=False)
class Key:
    """Hold an API key. ``kind`` is main, standard or restricted."""

    sid: str
    secret: str
    kind: str
    account_sid: str


@dataclass(eq=False)
class Account:
    """Hold an account and all that it owns."""

    sid: str
    seq: int
    created: float
    auth_token: str
    friendly_name: str
    owner_sid: str
    status: str = "active"
    updated: float = 0.0
    messages: Shelf[Message] = field(default_factory=lambda: Shelf(("to", "sender")))
    calls: Shelf[CallRecord] = field(default_factory=lambda: Shelf(("to", "caller")))
    numbers: Shelf[Number] = field(default_factory=Shelf)
    recordings: Shelf[Recording] = field(default_factory=Shelf)
    services: Shelf[Service] = field(default_factory=Shelf)
    opted_out: set[tuple[str, str]] = field(default_factory=set)
    """(sender or messaging service SID, the one who said STOP)."""
    wrote: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a WhatsApp user last wrote to one of the account's numbers."""
    verified: set[str] = field(default_factory=set)
    """Numbers that a trial account may send to and call."""
    ledger: Ledger = field(default_factory=Ledger)
    """What all of it has cost."""
    key: float = 0.0

    def __post_init__(self) -> None:
        self.key = self.created
        self.updated = self.updated or self.created

    def drop(self, shelf: Shelf[Any], record: Any, now: float) -> None:
        """Take off its shelf what is deleted, or never came to be; what it has cost stays counted."""
        self.ledger.bury(shelf, record, now)
        shelf.remove(record)

    @property
    def is_main(self) -> bool:
        return self.owner_sid == self.sid

    @property
    def uri(self) -> str:
        return f"{BASE}/Accounts/{self.sid}"

    def number(self, phone_number: str) -> Number | None:
        """Find a number that the account owns."""
        return next((number for number in self.numbers if number.phone_number == phone_number), None)


@dataclass(frozen=True, slots=True)
class Identity:
    """Say who asks: an account by its token, an API key, an OAuth client, or test credentials."""

    account_sid: str
    kind: str
    name: str


class World:
    """Hold everything. Whoever reads or changes it holds :attr:`lock`."""

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.base_url = ""
        """Where it is served."""
        self.journal = Journal()
        self.faults = Faults()
        self.quirks = Quirks()
        self.random = random.Random(0)  # noqa: S311 (jitter, the same in each run)
        self.on_change: Callable[[Any], None] = lambda record: None
        """Called with a message or call that reports its statuses, when it is made or changed."""
        self.on_reset: Callable[[], None] = lambda: None
        self.deliveries: deque[Delivery] = deque(maxlen=100_000)
        """The webhooks called, the oldest first."""
        self._begin()

    def _begin(self) -> None:
        self.latest = 0
        """The number of the newest record."""
        self.accounts: Shelf[Account] = Shelf()
        self.keys: dict[str, Key] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        self.identities: dict[str, Identity] = {}
        now = self.clock.now()
        main = Account(ACCOUNT_SID, self.next(), now, AUTH_TOKEN, "Emulator", ACCOUNT_SID)
        self.accounts.add(main)
        self._main = main
        self.test_account = Account(TEST_ACCOUNT_SID, 0, now, TEST_AUTH_TOKEN, "Test", TEST_ACCOUNT_SID)
        """The account of the test credentials, which owns nothing and is in no list."""
        for (sid, secret), kind in ((MAIN_KEY, "main"), (STANDARD_KEY, "standard"), (RESTRICTED_KEY, "restricted")):
            self.keys[sid] = Key(sid, secret, kind, main.sid)
        from airflow_provider_twilio.emulator.numbers import own

        own(self, main, FIRST_NUMBER, friendly_name="(500) 555-0006")

    def reset(self) -> None:
        """Begin anew: one account, one number, an empty journal, no faults, the real time."""
        with self.lock:
            self.clock.reset()
            self.journal.clear()
            self.faults.clear()
            self.deliveries.clear()
            self.on_reset()
            self.quirks = Quirks()
            self.random = random.Random(0)  # noqa: S311 (jitter, the same in each run)
            self._begin()

    def next(self) -> int:
        """Give the number of the next record."""
        self.latest += 1
        return self.latest

    @staticmethod
    def sid(kind: str) -> str:
        return kind + token_hex(16)

    @property
    def main(self) -> Account:
        return self._main

    def owner_of(self, phone_number: str) -> tuple[Account, Number] | None:
        """Find who owns a number."""
        for account in self.accounts:
            number = account.number(phone_number)
            if number is not None:
                return account, number
        return None

    def elapsed(self, since: float, now: float) -> float:
        """Give how much of a lifecycle has passed between two times."""
        return (now - since) * self.clock.speed

    def lasts(self, seconds: float) -> float:
        """Give how long a part of a lifecycle takes."""
        return seconds / self.clock.speed


@dataclass(slots=True)
class Call:
    """Hold one request of the API, understood: who asks for what, of which account, when."""

    world: World
    method: str
    path: str
    args: list[str]
    query: Params
    form: Params
    identity: Identity
    now: float
    base_url: str
    product: bool = False
    """Whether it is for one of the newer product APIs, which page by ``meta``."""
    _account: Account | None = None

    @property
    def account(self) -> Account:
        """The account that the path names, or that of the credentials."""
        if self._account is None:
            raise LookupError("this path names no account")
        return self._account

    @property
    def test(self) -> bool:
        """Whether it came with test credentials: nothing may change."""
        return self.identity.kind == "test"

    def find(self, shelf: Shelf[Any], sid: str) -> Any:
        """Find a record, or refuse with 404; one that was made a moment ago may not be found yet."""
        record = shelf.get(sid)
        if record is None or self.now - record.created < self.world.quirks.fetch_lag:
            raise not_found(self.path)
        return record

    @property
    def seen(self) -> float:
        """The time that records are shown as of."""
        return self.now - self.world.quirks.status_lag

    @property
    def unbilled(self) -> float:
        """How long prices are not told yet."""
        return self.world.quirks.price_lag

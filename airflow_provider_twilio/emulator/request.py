"""API requests, parsed and authenticated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_twilio.emulator.models.account import Account, Identity
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.record_store import RecordStore
from airflow_provider_twilio.emulator.responses import not_found
from airflow_provider_twilio.emulator.state import State


@dataclass(slots=True)
class ApiRequest:
    """A request to the API, parsed and authenticated."""

    state: State
    method: str
    path: str
    args: list[str]
    """The variable parts of the path, below the account."""
    query: Params
    form: Params
    identity: Identity
    now: float
    base_url: str
    is_product_api: bool = False
    """Whether the request is for a newer product API, whose pages have ``meta``."""
    path_account: Account | None = None

    @property
    def account(self) -> Account:
        """The account named by the path, or that of the credentials.

        :raises LookupError: The path names no account.
        """
        if self.path_account is None:
            raise LookupError("this path names no account")
        return self.path_account

    @property
    def is_test(self) -> bool:
        """Whether the request has test credentials, and must not change anything."""
        return self.identity.type == "test"

    def find(self, store: RecordStore[Any], sid: str) -> Any:
        """Return a record.

        :raises ApiError: The record does not exist (404), or is newer than the ``fetch_lag`` quirk shows.
        """
        record = store.get(sid)
        if record is None or self.now - record.created < self.state.quirks.fetch_lag:
            raise not_found(self.path)
        return record

    @property
    def shown_as_of(self) -> float:
        """The time as of which statuses are shown."""
        return self.now - self.state.quirks.status_lag

    @property
    def price_lag(self) -> float:
        """Seconds by which prices appear late."""
        return self.state.quirks.price_lag

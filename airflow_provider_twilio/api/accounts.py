"""Accounts, subaccounts and their balance.

https://www.twilio.com/docs/iam/api/account
https://www.twilio.com/docs/iam/api/subaccounts
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import VERSION, Request

KINDS = ("AC",)
STATUSES = ("active", "suspended", "closed")
MAX_NAME_LENGTH = 64


class Account(Record):
    """Hold an account, without the auth token that Twilio sends with it."""

    sid_prefixes = KINDS
    secrets = frozenset({"auth_token"})

    sid = Sid()
    owner_account_sid = Field(str)
    friendly_name = Field(str)
    status = Field(str)
    type = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    uri = Field(str)
    subresource_uris = Field(dict)


class Balance(Record):
    """Hold the money left on an account."""

    sid_prefixes = ()

    account_sid = Field(str)
    balance = Field(Decimal)
    currency = Field(str)

    @property
    def remaining(self) -> Decimal:
        """The money that is left.

        :raises TwilioError: the response names no balance.
        """
        if self.balance is None:
            raise TwilioError("Twilio's response contains no balance")
        return self.balance

    def below(self, minimum: Decimal) -> str:
        """Return a message that the balance is below the minimum."""
        return f"The balance is {self.balance} {self.currency}: below the minimum of {minimum}"


class Accounts(Resource[C_co]):
    """Open, read, rename, suspend, activate and close accounts."""

    @operation
    @staticmethod
    def create(*, friendly_name: str | None = None, extra_params: Mapping[str, Any] | None = None) -> Request[Account]:
        """Open a subaccount of the account whose credentials these are. Never repeated when its outcome is unknown.

        :param friendly_name: what to call it, up to 64 characters; the date by default.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.

        https://www.twilio.com/docs/iam/api/subaccounts#create-a-subaccount
        """
        checks.max_length("friendly_name", friendly_name, MAX_NAME_LENGTH)
        return Request("POST", f"/{VERSION}/Accounts.json", Account, idempotent=False)

    @operation
    @staticmethod
    def fetch(target_account_sid: str | None = None) -> Request[Account]:
        """Fetch an account.

        :param target_account_sid: the account, or a subaccount of it; the account acted on by default.
        :raises AuthenticationFailed: also for standard API keys, which can't read accounts.

        https://www.twilio.com/docs/iam/api/account#fetch-an-account-resource
        """
        return Request("GET", _path(target_account_sid), Account)

    @operation
    @staticmethod
    def update(
        target_account_sid: str,
        *,
        friendly_name: str | None = None,
        status: Literal["active", "suspended", "closed"] | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[Account]:
        """Rename an account, or suspend, activate or close a subaccount.

        :param target_account_sid: the account.
        :param friendly_name: its new name, up to 64 characters.
        :param status: ``suspended``, ``active`` again, or ``closed``, which can't be undone.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.

        https://www.twilio.com/docs/iam/api/account#update-an-account-resource
        """
        checks.required(target_account_sid=target_account_sid)
        if not extra_params:
            checks.one_of(friendly_name=friendly_name, status=status)
        checks.max_length("friendly_name", friendly_name, MAX_NAME_LENGTH)
        checks.choice("status", status, STATUSES)
        return Request("POST", _path(target_account_sid), Account)

    @listing
    @staticmethod
    def list(
        *,
        friendly_name: str | None = None,
        status: Literal["active", "suspended", "closed"] | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[Account]:
        """List the account whose credentials these are, and its subaccounts.

        :param friendly_name: only those of exactly this name.
        :param status: only in this status.
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/iam/api/account#read-multiple-account-resources
        """
        checks.choice("status", status, STATUSES)
        return Listing(f"/{VERSION}/Accounts.json", Account, limit=limit, page_size=page_size)


class Balances(Resource[C_co]):
    """Read the money left on the account."""

    @operation
    @staticmethod
    def fetch() -> Request[Balance]:
        """Fetch the balance of the account acted on. Subaccounts have none of their own.

        https://www.twilio.com/docs/usage/api/account-balance
        """
        return Request("GET", "Balance.json", Balance)


def _path(target_account_sid: str | None) -> str:
    sid = "{AccountSid}" if target_account_sid is None else checks.sid("target_account_sid", target_account_sid, *KINDS)
    return f"/{VERSION}/Accounts/{sid}.json"

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

SID_PREFIXES = ("AC",)
STATUSES = ("active", "suspended", "closed")
MAX_NAME_LENGTH = 64


class Account(Record):
    """An account, without the auth token that Twilio includes in its response."""

    sid_prefixes = SID_PREFIXES
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
    """The balance of an account, in its currency."""

    sid_prefixes = ()

    account_sid = Field(str)
    balance = Field(Decimal)
    currency = Field(str)

    @property
    def remaining(self) -> Decimal:
        """The remaining balance.

        :raises TwilioError: When the response contains no balance.
        """
        if self.balance is None:
            raise TwilioError("Twilio's response contains no balance")
        return self.balance

    def below(self, minimum: Decimal) -> str:
        """Return a message that the balance is below a minimum."""
        return f"The balance is {self.balance} {self.currency}: below the minimum of {minimum}"


class Accounts(Resource[C_co]):
    """Operations on accounts and subaccounts: create, fetch, list and update.

    .. code-block:: python

        request = Accounts.create(friendly_name="Staging")  # a Request, not yet sent
        account = Accounts(client).create(friendly_name="Staging")  # opened: an Account
    """

    @operation
    @staticmethod
    def create(*, friendly_name: str | None = None, extra_params: Mapping[str, Any] | None = None) -> Request[Account]:
        """Create a subaccount of the account that the credentials belong to.

        The request is not idempotent: it is never sent again while its outcome is unknown.

        :param friendly_name: Name of the subaccount, up to 64 characters. By default the current date.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No subaccount was created.

        https://www.twilio.com/docs/iam/api/subaccounts#create-a-subaccount
        """
        checks.max_length("friendly_name", friendly_name, MAX_NAME_LENGTH)
        return Request("POST", f"/{VERSION}/Accounts.json", Account, idempotent=False)

    @operation
    @staticmethod
    def fetch(target_account_sid: str | None = None) -> Request[Account]:
        """Fetch an account.

        :param target_account_sid: SID of the account or subaccount. By default the account that the client acts on.
        :raises AuthenticationFailed: When the credentials are wrong, or are a standard API key, which cannot read
            accounts.

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
        """Update an account's name, or a subaccount's status.

        :param target_account_sid: SID of the account or subaccount.
        :param friendly_name: Name of the account, up to 64 characters.
        :param status: ``suspended``, ``active``, or ``closed``, which cannot be undone.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No request was sent.

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
        """List the account that the credentials belong to, and its subaccounts.

        :param friendly_name: Only accounts with exactly this name.
        :param status: Only accounts in this status.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/iam/api/account#read-multiple-account-resources
        """
        checks.choice("status", status, STATUSES)
        return Listing(f"/{VERSION}/Accounts.json", Account, limit=limit, page_size=page_size)


class Balances(Resource[C_co]):
    """Operations on the account's balance: fetch."""

    @operation
    @staticmethod
    def fetch() -> Request[Balance]:
        """Fetch the balance of the account that the client acts on.

        Subaccounts have no balance of their own.

        https://www.twilio.com/docs/usage/api/account-balance
        """
        return Request("GET", "Balance.json", Balance)


def _path(target_account_sid: str | None) -> str:
    sid = (
        "{AccountSid}"
        if target_account_sid is None
        else checks.sid("target_account_sid", target_account_sid, *SID_PREFIXES)
    )
    return f"/{VERSION}/Accounts/{sid}.json"

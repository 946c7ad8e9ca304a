"""Accounts and subaccounts: https://www.twilio.com/docs/iam/api/subaccounts."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from airflow_provider_twilio.emulator.auth import check_active
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, not_found, rfc2822_date

STATUSES = ("active", "suspended", "closed")
MAX_SUBACCOUNTS = 1000
CLOSED_RETENTION = 30 * 86_400.0
"""Seconds after which a closed subaccount is deleted."""
MAX_NAME_LENGTH = 64  # characters
_SUBRESOURCES = {
    "available_phone_numbers": "AvailablePhoneNumbers", "calls": "Calls", "conferences": "Conferences",
    "incoming_phone_numbers": "IncomingPhoneNumbers", "notifications": "Notifications",
    "outgoing_caller_ids": "OutgoingCallerIds", "recordings": "Recordings", "transcriptions": "Transcriptions",
    "addresses": "Addresses", "signing_keys": "SigningKeys", "connect_apps": "ConnectApps", "sip": "SIP",
    "authorized_connect_apps": "AuthorizedConnectApps", "usage": "Usage", "keys": "Keys",
    "applications": "Applications", "short_codes": "SMS/ShortCodes", "queues": "Queues", "messages": "Messages",
    "balance": "Balance",
}  # fmt: skip


def _render_account(request: ApiRequest, account: Account) -> dict[str, Any]:
    """Return the JSON form of an account, with its auth token."""
    return {
        "auth_token": account.auth_token,
        "date_created": rfc2822_date(account.created),
        "date_updated": rfc2822_date(account.updated),
        "friendly_name": account.friendly_name,
        "owner_account_sid": account.owner_sid,
        "sid": account.sid,
        "status": account.status,
        "subresource_uris": {name: f"{account.uri}/{path}.json" for name, path in _SUBRESOURCES.items()},
        "type": "Trial" if request.state.quirks.trial else "Full",
        "uri": f"{account.uri}.json",
    }


def _parse_name(request: ApiRequest) -> str | None:
    name = request.form.text("FriendlyName")
    if name is not None and len(name) > MAX_NAME_LENGTH:
        raise ApiError(20001, f"FriendlyName can have at most {MAX_NAME_LENGTH} characters")
    return name


def create_account(request: ApiRequest) -> Response:
    """Handle POST Accounts: create a subaccount."""
    owner = request.account
    check_active(owner)
    if not owner.is_main:
        raise ApiError(21101, "Nested subaccounts are not allowed")
    if sum(account.status != "closed" for account in request.state.accounts) > MAX_SUBACCOUNTS:
        raise ApiError(21480, "The number of subaccounts has reached its limit")
    created = f"{request.state.clock.utc:%Y-%m-%d %I:%M %p}".lower()
    name = _parse_name(request) or f"SubAccount Created at {created}"
    account = Account(
        request.state.new_sid("AC"), request.state.next_seq(), request.now, token_hex(16), name, owner.sid
    )
    request.state.accounts.add(account)
    return Response(_render_account(request, account), 201, sid=account.sid)


def list_accounts(request: ApiRequest) -> Response:
    """Handle GET Accounts: return the account itself and its subaccounts."""
    own = request.account
    filters: list[Any] = [lambda account: _is_visible(request, account)]
    if (name := request.query.text("FriendlyName")) is not None:
        filters.append(lambda account: account.friendly_name == name)
    if (status := request.query.choice("Status", STATUSES)) is not None:
        filters.append(lambda account: account.status == status)
    check_active(own)
    return paginate(
        request, "accounts", request.state.accounts, filters, lambda account: _render_account(request, account)
    )


def _is_visible(request: ApiRequest, account: Account) -> bool:
    own = request.identity.account_sid
    if own not in (account.sid, account.owner_sid):
        return False
    return not (account.status == "closed" and request.now - account.updated > CLOSED_RETENTION)


def fetch_account(request: ApiRequest) -> Response:
    """Handle GET Accounts/{Sid}."""
    if not _is_visible(request, request.account):
        raise not_found(request.path)
    return Response(_render_account(request, request.account))


def update_account(request: ApiRequest) -> Response:
    """Handle POST Accounts/{Sid}: rename, suspend, activate, or permanently close an account."""
    account = request.account
    name = _parse_name(request)
    status = request.form.text("Status")
    if status is not None:
        if status not in STATUSES:
            raise ApiError(21475, f"Invalid account status: {status[:20]}")
        if account.is_main or request.identity.account_sid == account.sid:
            raise ApiError(21477, "The status of a main account can't be changed")
        if account.status == "closed":
            raise ApiError(21479, "A closed account can't be opened again")
        if status == "closed":
            _close(request, account)
        account.status = status
    account.friendly_name = name or account.friendly_name
    account.updated = request.now
    return Response(_render_account(request, account))


def _close(request: ApiRequest, account: Account) -> None:
    """Release the phone numbers of an account, and invalidate its credentials."""
    for number in list(account.numbers):
        account.delete(account.numbers, number, request.now)
    request.state.identities.clear()


ROUTES = {
    ("POST", ""): create_account,
    ("GET", ""): list_accounts,
    ("GET", "{}"): fetch_account,
    ("POST", "{}"): update_account,
}
"""Routes below ``/2010-04-01/Accounts``."""

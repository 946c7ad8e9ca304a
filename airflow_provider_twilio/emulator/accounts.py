"""Accounts and subaccounts: https://www.twilio.com/docs/iam/api/subaccounts."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.emulator.access import check_active
from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.wire import Answer, Refused, date, not_found
from airflow_provider_twilio.emulator.world import Account

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.world import Call

STATUSES = ("active", "suspended", "closed")
MOST = 1000
KEPT = 30 * 86_400.0
"""A closed subaccount is deleted after so long."""
LONGEST_NAME = 64
_SUBRESOURCES = {
    "available_phone_numbers": "AvailablePhoneNumbers", "calls": "Calls", "conferences": "Conferences",
    "incoming_phone_numbers": "IncomingPhoneNumbers", "notifications": "Notifications",
    "outgoing_caller_ids": "OutgoingCallerIds", "recordings": "Recordings", "transcriptions": "Transcriptions",
    "addresses": "Addresses", "signing_keys": "SigningKeys", "connect_apps": "ConnectApps", "sip": "SIP",
    "authorized_connect_apps": "AuthorizedConnectApps", "usage": "Usage", "keys": "Keys",
    "applications": "Applications", "short_codes": "SMS/ShortCodes", "queues": "Queues", "messages": "Messages",
    "balance": "Balance",
}  # fmt: skip


def render(call: Call, account: Account) -> dict[str, Any]:
    """Write an account as Twilio does, its token included."""
    return {
        "auth_token": account.auth_token,
        "date_created": date(account.created),
        "date_updated": date(account.updated),
        "friendly_name": account.friendly_name,
        "owner_account_sid": account.owner_sid,
        "sid": account.sid,
        "status": account.status,
        "subresource_uris": {name: f"{account.uri}/{path}.json" for name, path in _SUBRESOURCES.items()},
        "type": "Trial" if call.world.quirks.trial else "Full",
        "uri": f"{account.uri}.json",
    }


def _name(call: Call) -> str | None:
    name = call.form.text("FriendlyName")
    if name is not None and len(name) > LONGEST_NAME:
        raise Refused(20001, f"FriendlyName can have at most {LONGEST_NAME} characters")
    return name


def create(call: Call) -> Answer:
    """POST Accounts: open a subaccount."""
    owner = call.account
    check_active(owner)
    if not owner.is_main:
        raise Refused(21101, "Nested subaccounts are not allowed")
    if sum(account.status != "closed" for account in call.world.accounts) > MOST:
        raise Refused(21480, "The number of subaccounts has reached its limit")
    name = _name(call) or f"SubAccount Created at {call.world.clock.utc:%Y-%m-%d %I:%M %p}".lower().replace(
        "subaccount created", "SubAccount Created"
    )
    account = Account(call.world.sid("AC"), call.world.next(), call.now, token_hex(16), name, owner.sid)
    call.world.accounts.add(account)
    return Answer(render(call, account), 201, sid=account.sid)


def listing(call: Call) -> Answer:
    """GET Accounts: the account itself and its subaccounts."""
    own = call.account
    keep: list[Any] = [lambda account: sees(call, account)]
    if (name := call.query.text("FriendlyName")) is not None:
        keep.append(lambda account: account.friendly_name == name)
    if (status := call.query.choice("Status", STATUSES)) is not None:
        keep.append(lambda account: account.status == status)
    check_active(own)
    return paged(call, "accounts", call.world.accounts, keep, lambda account: render(call, account))


def sees(call: Call, account: Account) -> bool:
    own = call.identity.account_sid
    if own not in (account.sid, account.owner_sid):
        return False
    return not (account.status == "closed" and call.now - account.updated > KEPT)


def fetch(call: Call) -> Answer:
    """GET Accounts/{Sid}."""
    if not sees(call, call.account):
        raise not_found(call.path)
    return Answer(render(call, call.account))


def update(call: Call) -> Answer:
    """POST Accounts/{Sid}: rename, suspend, activate, close for good."""
    account = call.account
    name = _name(call)
    status = call.form.text("Status")
    if status is not None:
        if status not in STATUSES:
            raise Refused(21475, f"Invalid account status: {status[:20]}")
        if account.is_main or call.identity.account_sid == account.sid:
            raise Refused(21477, "The status of a main account can't be changed")
        if account.status == "closed":
            raise Refused(21479, "A closed account can't be opened again")
        if status == "closed":
            _close(call, account)
        account.status = status
    account.friendly_name = name or account.friendly_name
    account.updated = call.now
    return Answer(render(call, account))


def _close(call: Call, account: Account) -> None:
    """Release what a closed account owns, and forget who it was."""
    for number in list(account.numbers):
        account.drop(account.numbers, number, call.now)
    call.world.identities.clear()


ROUTES = {
    ("POST", ""): create,
    ("GET", ""): listing,
    ("GET", "{}"): fetch,
    ("POST", "{}"): update,
}
"""Below ``/2010-04-01/Accounts``."""

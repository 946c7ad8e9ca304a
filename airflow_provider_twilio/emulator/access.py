"""Who may do what: credentials, accounts in paths, and what keys may not do.

https://www.twilio.com/docs/iam/api-keys and https://www.twilio.com/docs/iam/api/subaccounts
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from hmac import compare_digest
from typing import TYPE_CHECKING

from airflow_provider_twilio.emulator.wire import Answer, Refused, not_found
from airflow_provider_twilio.emulator.world import OAUTH_CLIENT, TEST_ACCOUNT_SID, TEST_AUTH_TOKEN, TOKEN_LIFE, Identity

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.params import Params
    from airflow_provider_twilio.emulator.world import Account, World

_WRONG = "Authentication Error - invalid username"


def identify(world: World, authorization: bytes | None) -> Identity:
    """Tell who asks, or refuse (401, 20003)."""
    if authorization is None:
        raise Refused(
            20003,
            "Authentication Error - No credentials provided",
            401,
            "Your AccountSid or AuthToken was incorrect.",
        )
    text = authorization.decode("latin-1")
    known = world.identities.get(text)
    if known is not None:
        return known
    scheme, _, value = text.partition(" ")
    if scheme.lower() == "bearer":
        token = world.tokens.get(value.strip())
        if token is None or token[1] <= world.clock.now():
            raise Refused(20003, "Authenticate", 401)
        return Identity(token[0], "oauth", OAUTH_CLIENT[0])
    if scheme.lower() != "basic":
        raise Refused(20003, "Authenticate", 401)
    try:
        name, _, secret = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Refused(20003, _WRONG, 401) from None
    found = _match(world, name, secret)
    if found is None:
        raise Refused(20003, "Authenticate", 401)
    if len(world.identities) < 1000:
        world.identities[text] = found
    return found


def _same(given: str, held: str) -> bool:
    return compare_digest(given.encode(), held.encode())


def _match(world: World, name: str, secret: str) -> Identity | None:
    if name == TEST_ACCOUNT_SID and _same(secret, TEST_AUTH_TOKEN):
        return Identity(name, "test", name)
    account = world.accounts.get(name)
    if account is not None and _same(secret, account.auth_token):
        return Identity(account.sid, "account", name)
    key = world.keys.get(name)
    if key is not None and _same(secret, key.secret):
        return Identity(key.account_sid, key.kind, name)
    return None


def account_for(world: World, identity: Identity, sid: str, path: str, about_account: bool) -> Account:
    """Give the account that a path names, if the credentials reach it; a parent's reach its subaccounts.

    :param about_account: whether the request is about the account itself, which may be suspended then.
    """
    own = world.test_account if identity.kind == "test" else world.accounts.get(identity.account_sid)
    if own is None or own.status == "closed":
        raise Refused(20003, "Authenticate", 401)
    account = own if sid == own.sid else world.accounts.get(sid)
    if account is None:
        raise not_found(path) if own.is_main else Refused(20003, "Authenticate", 401)
    if account is not own and account.owner_sid != own.sid:
        raise Refused(20003, "Authenticate", 401)
    if not about_account:
        check_active(account)
    return account


def check_active(account: Account) -> None:
    """Refuse what an account can't do while it is suspended or closed."""
    if account.status != "active":
        raise Refused(20005, "Account not active", 403)


def check_kind(identity: Identity, path: str, method: str) -> None:
    """Refuse what this kind of credentials may not do."""
    if identity.kind == "test":
        last = path.rpartition("/")[2]
        if method != "POST" or last.removesuffix(".json") not in (
            "Messages", "Calls", "IncomingPhoneNumbers", "Local", "Mobile", "TollFree",
        ):  # fmt: skip
            raise Refused(20008, "Resource not accessible with Test Account Credentials", 403)
    elif identity.kind == "restricted":
        raise Refused(20003, "Permission Denied", 403)
    elif identity.kind == "standard":
        parts = path.removesuffix(".json").split("/")
        if len(parts) <= 4 or parts[4] == "Keys":
            raise Refused(20003, "Authenticate", 401)


def token(world: World, form: Params) -> Answer:
    """POST /v2/token: give a token for client credentials.

    https://www.twilio.com/docs/iam/oauth-apps
    """
    if form.get("grant_type") != "client_credentials":
        raise Refused(20001, "grant_type must be client_credentials")
    if form.get("client_id") != OAUTH_CLIENT[0] or not _same(form.get("client_secret") or "", OAUTH_CLIENT[1]):
        raise Refused(20003, "Authenticate", 401)
    value = f"{world.sid('eyJ')}.{world.sid('')}"
    world.tokens[value] = (world.main.sid, world.clock.now() + TOKEN_LIFE)
    body = {
        "access_token": value,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE,
        "id_token": None,
        "refresh_token": None,
    }
    return Answer(body)

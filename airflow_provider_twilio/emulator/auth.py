"""Authentication, and authorization for accounts and resources.

https://www.twilio.com/docs/iam/api-keys and https://www.twilio.com/docs/iam/api/subaccounts
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from hmac import compare_digest

from airflow_provider_twilio.emulator.credentials import TEST_ACCOUNT_SID
from airflow_provider_twilio.emulator.models.account import Account, Identity
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.responses import ApiError, Response, not_found
from airflow_provider_twilio.emulator.state import TOKEN_LIFETIME, State

MAX_CACHED_IDENTITIES = 1000


def authenticate(state: State, authorization: bytes | None) -> Identity:
    """Return the identity of a request's credentials.

    :param authorization: The value of the Authorization header.
    :raises ApiError: The credentials are missing or wrong (401, 20003).
    """
    if authorization is None:
        raise ApiError(
            20003,
            "Authentication Error - No credentials provided",
            401,
            "Your AccountSid or AuthToken was incorrect.",
        )
    text = authorization.decode("latin-1")
    cached = state.identities.get(text)
    if cached is not None:
        return cached
    scheme, _, value = text.partition(" ")
    if scheme.lower() == "bearer":
        token = state.tokens.get(value.strip())
        if token is None or token[1] <= state.clock.now():
            raise _unauthorized()
        return Identity(token[0], "oauth", state.credentials.oauth_client[0])
    if scheme.lower() != "basic":
        raise _unauthorized()
    try:
        name, _, secret = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise ApiError(20003, "Authentication Error - invalid username", 401) from None
    identity = _find_identity(state, name, secret)
    if identity is None:
        raise _unauthorized()
    if len(state.identities) < MAX_CACHED_IDENTITIES:
        state.identities[text] = identity
    return identity


def _unauthorized() -> ApiError:
    return ApiError(20003, "Authenticate", 401)


def _equal(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())


def _find_identity(state: State, name: str, secret: str) -> Identity | None:
    if name == TEST_ACCOUNT_SID and _equal(secret, state.credentials.test_auth_token):
        return Identity(name, "test", name)
    account = state.accounts.get(name)
    if account is not None and _equal(secret, account.auth_token):
        return Identity(account.sid, "account", name)
    key = state.keys.get(name)
    if key is not None and _equal(secret, key.secret):
        return Identity(key.account_sid, key.type, name)
    return None


def find_account(state: State, identity: Identity, sid: str, path: str, *, may_be_inactive: bool = False) -> Account:
    """Return the account that a path names.

    The credentials of a main account also reach its subaccounts.

    :param may_be_inactive: Whether the request concerns the account itself, which may then be suspended or closed.
    :raises ApiError: The account does not exist (404), is out of reach (401), or is not active (403).
    """
    own = state.test_account if identity.type == "test" else state.accounts.get(identity.account_sid)
    if own is None or own.status == "closed":
        raise _unauthorized()
    account = own if sid == own.sid else state.accounts.get(sid)
    if account is None:
        raise not_found(path) if own.is_main else _unauthorized()
    if account is not own and account.owner_sid != own.sid:
        raise _unauthorized()
    if not may_be_inactive:
        check_active(account)
    return account


def check_active(account: Account) -> None:
    """Raise an error if the account is suspended or closed."""
    if account.status != "active":
        raise ApiError(20005, "Account not active", 403)


def authorize(identity: Identity, path: str, method: str) -> None:
    """Raise an error if this type of credentials has no permission for the request."""
    if identity.type == "test":
        resource = path.rpartition("/")[2]
        if method != "POST" or resource.removesuffix(".json") not in (
            "Messages", "Calls", "IncomingPhoneNumbers", "Local", "Mobile", "TollFree",
        ):  # fmt: skip
            raise ApiError(20008, "Resource not accessible with Test Account Credentials", 403)
    elif identity.type == "restricted":
        raise ApiError(20003, "Permission Denied", 403)
    elif identity.type == "standard":
        parts = path.removesuffix(".json").split("/")
        if len(parts) <= 4 or parts[4] == "Keys":
            raise _unauthorized()


def create_token(state: State, form: Params) -> Response:
    """Handle POST /v2/token: issue an access token for client credentials.

    https://www.twilio.com/docs/iam/oauth-apps
    """
    if form.get("grant_type") != "client_credentials":
        raise ApiError(20001, "grant_type must be client_credentials")
    client_id, client_secret = state.credentials.oauth_client
    if form.get("client_id") != client_id or not _equal(form.get("client_secret") or "", client_secret):
        raise _unauthorized()
    token = f"{state.new_sid('eyJ')}.{state.new_sid('')}"
    state.tokens[token] = (state.main.sid, state.clock.now() + TOKEN_LIFETIME)
    body = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME,
        "id_token": None,
        "refresh_token": None,
    }
    return Response(body)

"""Settings of a client, read from an Airflow connection."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.records import is_sid
from airflow_provider_twilio.api.values import address_text
from airflow_provider_twilio.client.extras import BadConnection, parse_extras
from airflow_provider_twilio.client.regions import parse_region

HOST = "api.twilio.com"
MAX_CONNECT_TIMEOUT = 10.0
"""Maximum time to connect, in seconds."""
_HOST_NAME = re.compile(r"[\w.:-]+")
_NOT_IN_BASE_URL = re.compile(r"[?#@\s]")


class ConnectionLike(Protocol):
    """Anything that has the fields of an Airflow connection."""

    @property
    def conn_id(self) -> str: ...

    login: str | None
    password: str | None
    host: str | None
    port: int | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class Basic:
    """Basic authentication: an Account SID and its auth token, or an API key SID and its secret."""

    user: str
    secret: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of the ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class OAuth:
    """OAuth client credentials, which the client exchanges for access tokens."""

    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a client. Comparable and hashable, so that equal settings can share a client.

    :param account_sid: SID of the account that requests act on.
    :param auth: Credentials.
    :param conn_id: Name of the connection, for error messages.
    :param base: Base URL instead of Twilio's, such as the emulator's.
    :param region: Twilio region that processes requests, such as ``ie1``. None for the default one.
    :param edge: Edge where requests enter Twilio's network, such as ``dublin``.
    :param timeout: Maximum seconds of one attempt at a request, from connecting to the last byte of the response.
        Connecting takes at most 10 of them.
    :param retries: Maximum number of retries of a request that is safe to retry.
    :param retry_max_wait: Maximum delay before a retry, in seconds, also when Twilio's Retry-After asks for more.
    :param proxy: URL of the proxy. None for the environment's.
    :param verify: Whether to verify TLS certificates, or the path of a CA bundle to verify them against.
    :param cert: Path of a client certificate, or of the certificate and its key.
    :param validate: Whether to check that a record in a response has a SID of the expected type and account.
    :param defaults: Parameters that the connection supplies to requests that need one of them, by wire name.
    :param allowed_recipients: Prefixes and patterns of the only recipients that may be contacted. Empty for all.
    :param dry_run: Whether to log requests that would change something, instead of sending them.
    """

    account_sid: str
    auth: Basic | OAuth
    conn_id: str = ""
    base: str | None = None
    region: str | None = None
    edge: str | None = None
    timeout: float = 60.0
    retries: int = 5
    retry_max_wait: float = 30.0
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str = True
    cert: tuple[str, ...] = ()
    validate: bool = True
    defaults: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allowed_recipients: tuple[str, ...] = field(default=(), repr=False)
    dry_run: bool = False

    @classmethod
    def from_connection(cls, connection: ConnectionLike, account_sid: str | None = None) -> Settings:
        """Return the settings of an Airflow connection.

        :param account_sid: SID of the account to act on, instead of the connection's.
        :raises BadConnection: If a field or extra is missing, unknown or invalid.
        :raises BadParameter: If ``account_sid`` or a SID or sender in the extras is invalid.
        """
        conn_id = connection.conn_id
        extras = parse_extras(conn_id, connection.extra)
        auth_type = extras.pop("auth_type", "basic")
        login, secret = (connection.login or "").strip(), connection.password or ""
        connection_account = extras.pop("account_sid", None)
        _check_login(conn_id, login, secret, auth_type, connection_account)
        _check_characters(conn_id, login, secret)
        if connection_account is not None and not is_sid(connection_account, ("AC",)):
            raise BadConnection(f"connection {conn_id}, extra account_sid", "is not an account SID", "give AC…")
        if account_sid is not None:
            checks.sid("account_sid", account_sid, "AC")
        base = _base_url(conn_id, connection.host, connection.port, allow_insecure=extras.pop("allow_insecure", False))
        region, edge = parse_region(conn_id, extras.pop("region", None), extras.pop("edge", None))
        service, from_ = extras.pop("messaging_service_sid", None), extras.pop("from_", None)
        if service is not None:
            checks.sid(f"connection {conn_id}, extra messaging_service_sid", service, "MG")
        checks.sender(f"connection {conn_id}, extra from_", from_, (*checks.MESSAGE_CHANNELS, *checks.CALL_CHANNELS))
        defaults = {"MessagingServiceSid": service, "From": from_ and address_text(from_)}
        return cls(
            account_sid=account_sid or connection_account or login,
            auth=OAuth(login, secret) if auth_type == "oauth" else Basic(login, secret),
            conn_id=conn_id,
            base=base,
            region=region,
            edge=edge,
            defaults=tuple((name, value) for name, value in defaults.items() if value),
            **extras,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets to mask in logs, in each form in which they may appear."""
        header = (self.auth.header.removeprefix("Basic "),) if isinstance(self.auth, Basic) else ()
        password = urlsplit(self.proxy).password if self.proxy else None
        passwords = (password, unquote(password)) if password else ()
        return tuple(dict.fromkeys((self.auth.secret, *header, *passwords)))

    @property
    def connect_timeout(self) -> float:
        """Seconds to connect to one IP address. Shorter than ``timeout``, since a host may have several."""
        return min(self.timeout, MAX_CONNECT_TIMEOUT)

    @property
    def is_local(self) -> bool:
        """Whether the base URL is on this machine, so that the environment's proxies don't apply."""
        return self.base is not None and is_loopback(urlsplit(self.base).hostname or "")


def _check_characters(conn_id: str, login: str, secret: str) -> None:
    """Check that the credentials contain no blanks or line breaks, which copying them may add."""
    for name, value in (("login", login), ("password", secret)):
        if any(character.isspace() or not character.isprintable() for character in value):
            outside = value != value.strip()
            raise BadConnection(
                f"connection {conn_id}, {name}",
                f"{'starts or ends with' if outside else 'contains'} a blank, line break or invisible character",
                "remove it: Twilio's credentials have none, and would be rejected",
            )


def _check_login(conn_id: str, login: str, secret: str, auth_type: str, account_sid: str | None) -> None:
    parameter = f"connection {conn_id}, login"
    if not login:
        raise BadConnection(
            parameter, "is empty", "give the Account SID (AC…), an API key SID (SK…) or an OAuth client id"
        )
    if not secret:
        raise BadConnection(
            f"connection {conn_id}, password",
            "is empty",
            "give the auth token, the API key's secret or the client secret",
        )
    if auth_type == "oauth":
        if account_sid is None:
            raise BadConnection(
                f"connection {conn_id}, extra account_sid",
                "is missing",
                "OAuth needs it: set it to the Account SID (AC…)",
            )
        return
    if re.fullmatch(r"\+?[\d\s().-]{7,}", login):
        raise BadConnection(
            parameter, "is a phone number", "set the login to the Account SID, and the extra from_ to the number"
        )
    if is_sid(login, ("AC",)):
        return
    if is_sid(login, ("SK",)):
        if account_sid is None:
            raise BadConnection(
                f"connection {conn_id}, extra account_sid",
                "is missing",
                "with an API key (SK…), set it to the Account SID (AC…)",
            )
        return
    if is_sid(login):
        resource = checks.SID_TYPES.get(login[:2], "another resource")
        raise BadConnection(
            parameter, f"is the SID of {resource}", "give the Account SID (AC…) or an API key SID (SK…)"
        )
    raise BadConnection(
        parameter,
        f"is neither an Account SID nor an API key SID ({checks.describe(login)})",
        "give AC… or SK… with 32 hexadecimal digits, or set the extra auth_type to oauth for a client id",
    )


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is this machine's."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _base_url(conn_id: str, host: str | None, port: int | None, *, allow_insecure: bool) -> str | None:
    text = (host or "").strip()
    if not text:
        return None
    parameter = f"connection {conn_id}, host"
    if text.count(":") > 1 and "://" not in text and "[" not in text:
        text = f"[{text}]"  # An IPv6 address without brackets.
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        name, port = parts.hostname or "", parts.port or port
    except ValueError:
        name, parts = "", urlsplit("")
    if not _HOST_NAME.fullmatch(name) or parts.scheme not in ("", "http", "https") or _NOT_IN_BASE_URL.search(text):
        raise BadConnection(parameter, "is not a base URL", "leave it empty for Twilio, or give https://host:port")
    scheme = parts.scheme or ("http" if is_loopback(name) else "https")
    if scheme == "http" and not is_loopback(name) and not allow_insecure:
        raise BadConnection(
            parameter,
            "is neither https nor on this machine",
            "give https://…, or set the extra allow_insecure to let the credentials cross the network unencrypted",
        )
    if (scheme, name) == ("https", HOST) and port in (None, 443):
        return None
    name = f"[{name}]" if ":" in name else name
    return f"{scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"

"""From an Airflow connection to settings: the only reader of the connection's fields and extras.

Parsed strictly, from JSON types and from the strings that a connection URI gives.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from airflow_provider_twilio.api import checks, codes
from airflow_provider_twilio.api.already_ended import AlreadyEnded
from airflow_provider_twilio.api.errors import BadParameter, NotFound, OutcomeUnknown, ServerError
from airflow_provider_twilio.api.outcomes import error_from_response
from airflow_provider_twilio.api.records import Record, is_sid
from airflow_provider_twilio.api.request import Request, percent_encode
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.api.values import address_text
from airflow_provider_twilio.client import guards

T = TypeVar("T")

HOST = "api.twilio.com"
DAY = 86_400
MAX_CONNECT_TIMEOUT = 10.0
EDGES: Mapping[str, str] = {
    "us1": "ashburn",
    "us2": "umatilla",
    "au1": "sydney",
    "br1": "sao-paulo",
    "ie1": "dublin",
    "de1": "frankfurt",
    "jp1": "tokyo",
    "jp2": "osaka",
    "sg1": "singapore",
}
"""Each region's edge, to complete one by the other: https://www.twilio.com/docs/global-infrastructure"""


_TWILIO = re.compile(r"([a-z0-9-]+\.)+twilio\.com")
_HOST = re.compile(r"[\w.:-]+")
_BEYOND = re.compile(r"[?#@\s]")  # what a base address has not
_PATH = "/:@!$&'()*+,;=%~"


def _origin(address: str | None) -> str | None:
    parts = urlsplit(address or "")
    return f"{parts.scheme}://{parts.netloc}" if address else None


class ConnectionLike(Protocol):
    """What is read of an Airflow connection."""

    @property
    def conn_id(self) -> str: ...

    login: str | None
    password: str | None
    host: str | None
    port: int | None
    extra: str | None


class BadConnection(BadParameter):
    """Report what is wrong with a connection: which field or extra, and the remedy."""


# ---------------------------------------------------------------- extras


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        raise ValueError("a string")
    return value.strip() or None


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "false", "0", "no"):
        return value.strip().lower() in ("true", "1", "yes")
    raise ValueError("true or false")


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number") from None
    if not isfinite(number):
        raise ValueError("a number")
    return number


def _seconds(value: Any) -> float:
    if 0 < (number := _number(value)) <= DAY:
        return number
    raise ValueError("a number of seconds above 0, and no more than a day")


def _count(value: Any) -> int:
    number = _number(value)
    if number < 0 or number != int(number):
        raise ValueError("a whole number, 0 or more")
    return int(number)


def _verify(value: Any) -> bool | str:
    try:
        return _truth(value)
    except ValueError:
        if isinstance(value, str) and Path(value).exists():
            return value
        raise ValueError("true, false or the path of a CA bundle that is on this machine") from None


def _one_or_two(value: Any) -> tuple[str, ...]:
    paths = _several(value)
    if len(paths) > 2 or not all(Path(path).exists() for path in paths):
        raise ValueError("the path of a certificate, or of a certificate and its key, on this machine")
    return paths


def _proxy(value: Any) -> str | None:
    text = _text(value)
    if text is None:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and parts.port != 0:
            return parts.geturl()
    except ValueError:
        pass
    raise ValueError("an address such as http://user:password@host:3128")


def _several(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of strings, or one string with commas")
    return tuple(item.strip() for item in value if item.strip())


def _any_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return str(value)

    return parse


EXTRAS: Mapping[str, Callable[[Any], Any]] = {
    "account_sid": _text,
    "auth_type": _any_of("basic", "oauth"),
    "region": _text,
    "edge": _text,
    "timeout": _seconds,
    "retries": _count,
    "retry_max_wait": _seconds,
    "proxy": _proxy,
    "verify": _verify,
    "cert": _one_or_two,
    "validate": _truth,
    "from_": _text,
    "messaging_service_sid": _text,
    "allowed_recipients": _several,
    "dry_run": _truth,
    "allow_insecure": _truth,
}


FIXED_EXTRAS: Mapping[str, Callable[[Any], Any]] = {"http_version": _any_of("1.1")}
"""Extras that may be said, but have one value; the form doesn't ask for them."""


ALIASES: Mapping[str, str] = {
    "sender": "from_",
    "phone_number": "from_",
    "sid": "account_sid",
    "auth_token": "the connection's password",
    "token": "the connection's password",
}
"""What people may call what has quite another name here."""


def _extras(conn_id: str, extra: str | None) -> dict[str, Any]:
    """Read the extras. Airflow takes an extra that isn't JSON for an empty one, which would lose the guards."""
    try:
        raw = json.loads(extra) if extra and extra.strip() else {}
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise BadConnection(f"connection {conn_id}, extra", "is not a JSON object", 'give one such as {"timeout": 30}')
    found = {}
    for name, value in raw.items():
        parse = EXTRAS.get(name) or FIXED_EXTRAS.get(name)
        if parse is None:
            import difflib

            like = ALIASES.get(name.lower())
            near = (
                [like] if like else difflib.get_close_matches(name.lower(), [*EXTRAS, *FIXED_EXTRAS], n=1, cutoff=0.6)
            )
            hint = f"did you mean {near[0]}?" if near else f"the extras are {', '.join(EXTRAS)}"
            raise BadConnection(f"connection {conn_id}, extra {name}", "is not known", hint)
        if value is None or value == "":
            continue
        try:
            found[name] = parse(value)
        except ValueError as error:
            raise BadConnection(
                f"connection {conn_id}, extra {name}", f"can't be read ({checks.describe(value)})", f"give {error}"
            ) from None
    return {name: value for name, value in found.items() if value is not None and name in EXTRAS}


# ---------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True)
class Basic:
    """Authenticate with a user and a secret: an account SID and its auth token, or an API key and its secret."""

    user: str
    secret: str = field(repr=False)

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class OAuth:
    """Authenticate with a token that client credentials buy."""

    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold all that a client needs to know. Compares and hashes, so that clients can be shared by it.

    :param account_sid: the account acted on.
    :param auth: how requests are authenticated.
    :param base: the base address, where it isn't Twilio's own.
    :param timeout: seconds to connect, and seconds to wait for more of an answer.
    :param retries: further tries of a request that may be repeated.
    :param retry_max_wait: seconds that a wait between tries lasts at most, Retry-After included.
    :param defaults: what the connection supplies where a request needs it, in Twilio's spelling.
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
        """Read an Airflow connection.

        :param account_sid: the account to act on instead of the connection's own.
        :raises BadConnection: naming the field or extra, and the remedy.
        """
        conn_id = connection.conn_id
        extras = _extras(conn_id, connection.extra)
        auth_type = extras.pop("auth_type", "basic")
        login, secret = (connection.login or "").strip(), connection.password or ""
        own = extras.pop("account_sid", None)
        _check_login(conn_id, login, secret, auth_type, own)
        if own is not None and not is_sid(own, ("AC",)):
            raise BadConnection(f"connection {conn_id}, extra account_sid", "is not an account SID", "give AC…")
        if account_sid is not None:
            checks.sid("account_sid", account_sid, "AC")
        base = _base(conn_id, connection.host, connection.port, allow_insecure=extras.pop("allow_insecure", False))
        region, edge = _where(conn_id, extras.pop("region", None), extras.pop("edge", None))
        service, from_ = extras.pop("messaging_service_sid", None), extras.pop("from_", None)
        checks.sids(messaging_service_sid=(service, "MG"))
        checks.sender("from_", from_, (*checks.MESSAGE_CHANNELS, *checks.CALL_CHANNELS))
        defaults = {"MessagingServiceSid": service, "From": from_ and address_text(from_)}
        return cls(
            account_sid=account_sid or own or login,
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
        """What must never be seen in a log."""
        header = (self.auth.header.removeprefix("Basic "),) if isinstance(self.auth, Basic) else ()
        password = urlsplit(self.proxy).password if self.proxy else None
        passwords = (password, unquote(password)) if password else ()
        return tuple(dict.fromkeys((self.auth.secret, *header, *passwords)))

    @property
    def connect_timeout(self) -> float:
        """Seconds to connect: not as long as an answer may take, for several addresses may be tried one by one."""
        return min(self.timeout, MAX_CONNECT_TIMEOUT)

    @property
    def is_local(self) -> bool:
        """Whether the base address is this machine's: the environment's proxies don't apply then."""
        return self.base is not None and is_loopback(urlsplit(self.base).hostname or "")

    # ------------------------------------------------------------ the rule book

    def resolve(self, request: Request[T]) -> Request[T]:
        """Complete a request by what the connection knows: sender and address. Held against the guards here."""
        if request.is_incomplete:
            supplied = {name: value for name, value in self.defaults if name in request.requires_one_of}
            if not supplied:
                names = [
                    {"From": "from_", "MessagingServiceSid": "messaging_service_sid"}[name]
                    for name in request.requires_one_of
                ]
                raise BadParameter(
                    " or ".join(names), "is missing", f"give it, or set it as an extra of the connection {self.conn_id}"
                )
            request = request.with_params(**supplied)
        if not request.is_safe:
            guards.check_recipients(request, self.allowed_recipients)
            guards.check_segments(request)
        return request.with_path(self.url(request.template))

    def url(self, template: str) -> str:
        """Give the address of a path or URL, and refuse hosts that aren't Twilio's."""
        filled = template.replace("{AccountSid}", self.account_sid)
        if filled.startswith("/"):
            return self._root(HOST) + percent_encode(filled, _PATH)
        parts = urlsplit(filled)
        root = f"{parts.scheme}://{parts.netloc}"
        if root not in (_origin(self.base), self._root(HOST)):
            if parts.scheme != "https" or not _TWILIO.fullmatch(parts.netloc):
                raise BadParameter(
                    "path",
                    f"is on the host {parts.hostname or 'unknown'}",
                    "requests go to https://….twilio.com only: they carry the credentials",
                )
            if parts.netloc.count(".") == 2:  # else it names its region already
                root = self._root(parts.netloc)
        return root + percent_encode(parts.path, _PATH)

    def _root(self, host: str) -> str:
        if self.base is not None:
            return self.base if host == HOST else f"{self.base}/{host}"
        if self.region is None:
            return f"https://{host}"
        return f"https://{host.removesuffix('.twilio.com')}.{self.edge}.{self.region}.twilio.com"

    def read(self, request: Request[T], response: Response, *, again: bool = False) -> T | Request[T]:
        """Read an answer to a resolved request, or raise what it means; or give the request that will tell instead.

        :param again: whether the request had been sent before: a DELETE that then finds nothing has succeeded, and so
            may have what ends a call or a message that has ended.
        """
        error = error_from_response(request, response, self.conn_id)
        if error is not None:
            if again and request.method == "DELETE" and isinstance(error, NotFound):
                return request.parser.parse(request, Response(204, {}, b""))
            if again and request.get("Status") and error.code in codes.ALREADY_FINAL:
                return Request("GET", request.path, AlreadyEnded(request, error))
            raise error
        result = request.parser.parse(request, response)
        if self.validate and isinstance(result, Record):
            fault = result.validation_error(request.get("AccountSid") or self.account_sid)
            if fault is not None:
                kind = ServerError if request.idempotent else OutcomeUnknown
                raise kind(
                    f"{request}: Twilio's answer {fault}; set validate=false on the connection to take it as it is",
                    status=response.status,
                    request_id=response.request_id,
                )
        return result


def _check_login(conn_id: str, login: str, secret: str, auth_type: str, account_sid: str | None) -> None:
    where = f"connection {conn_id}, login"
    if not login:
        raise BadConnection(where, "is empty", "give the Account SID (AC…), an API key SID (SK…) or an OAuth client id")
    if not secret:
        raise BadConnection(
            f"connection {conn_id}, password",
            "is empty",
            "give the auth token, the API key's secret or the client secret",
        )
    if auth_type == "oauth":
        if account_sid is None:
            raise BadConnection(f"connection {conn_id}, extra account_sid", "is missing", "OAuth needs it: AC…")
        return
    if re.fullmatch(r"\+?[\d\s().-]{7,}", login):
        raise BadConnection(where, "is a phone number", "give the Account SID there, and the number as the extra from_")
    if is_sid(login, ("AC",)):
        return
    if is_sid(login, ("SK",)):
        if account_sid is None:
            raise BadConnection(
                f"connection {conn_id}, extra account_sid",
                "is missing",
                "with an API key (SK…) it names the account: AC…",
            )
        return
    if is_sid(login):
        kind = checks.SID_TYPES.get(login[:2], "another resource")
        raise BadConnection(where, f"is the SID of {kind}", "give the Account SID (AC…) or an API key SID (SK…)")
    raise BadConnection(
        where,
        f"is neither an Account SID nor an API key SID ({checks.describe(login)})",
        "give AC… or SK… with 32 hexadecimal digits, or set the extra auth_type to oauth for a client id",
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _base(conn_id: str, host: str | None, port: int | None, *, allow_insecure: bool) -> str | None:
    given = (host or "").strip()
    if not given:
        return None
    where = f"connection {conn_id}, host"
    if given.count(":") > 1 and "://" not in given and "[" not in given:
        given = f"[{given}]"  # a bare IPv6 address
    try:
        parts = urlsplit(given if "://" in given else f"//{given}")
        name, port = parts.hostname or "", parts.port or port
    except ValueError:
        name, parts = "", urlsplit("")
    if not _HOST.fullmatch(name) or parts.scheme not in ("", "http", "https") or _BEYOND.search(given):
        raise BadConnection(where, "is not a base address", "leave it empty for Twilio, or give https://host:port")
    scheme = parts.scheme or ("http" if is_loopback(name) else "https")
    if scheme == "http" and not is_loopback(name) and not allow_insecure:
        raise BadConnection(
            where,
            "is neither https nor on this machine",
            "give https://…, or set the extra allow_insecure to let the credentials cross the network unencrypted",
        )
    if (scheme, name) == ("https", HOST) and port in (None, 443):
        return None
    name = f"[{name}]" if ":" in name else name
    return f"{scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _where(conn_id: str, region: str | None, edge: str | None) -> tuple[str | None, str | None]:
    for name, value in (("region", region), ("edge", edge)):
        if value is not None and not re.fullmatch(r"[a-z0-9-]+", value):
            raise BadConnection(
                f"connection {conn_id}, extra {name}", "is not a name", "give one such as ie1 or dublin"
            )
    if region and not edge:
        edge = EDGES.get(region)
        if edge is None:
            raise BadConnection(
                f"connection {conn_id}, extra edge", f"is missing, and the region {region} is not known", "give both"
            )
    if edge and not region:
        region = {edge: region for region, edge in EDGES.items()}.get(edge)
        if region is None:
            raise BadConnection(
                f"connection {conn_id}, extra region", f"is missing, and the edge {edge} is not known", "give both"
            )
    return region, edge

"""Preparation of requests: adding the connection's sender, checking the guards, and building the URL.

Only :func:`prepare`, :func:`prepare_like` and :func:`prepare_redirect` create a :class:`PreparedRequest`. So the type
of a request shows whether the guards have accepted it, and the clients send a prepared request unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urljoin, urlsplit

from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.api.request import Request, ResponseParser, percent_encode
from airflow_provider_twilio.client import guards
from airflow_provider_twilio.client.regions import check_product
from airflow_provider_twilio.client.settings import HOST, Settings, is_loopback
from airflow_provider_twilio.privacy import mask

T = TypeVar("T")

_PARAMETERS = {"From": "from_", "MessagingServiceSid": "messaging_service_sid"}
_TWILIO_HOST = re.compile(r"([a-z0-9-]+\.)+twilio\.com")
MAX_REDIRECTS = 5
"""Maximum number of redirects of a request."""

_UNESCAPED_IN_URLS = "/:?#[]@!$&'()*+,;=%~"
_UNESCAPED_IN_PATHS = "/:@!$&'()*+,;=%~"


@dataclass(frozen=True, slots=True, repr=False)
class PreparedRequest(Generic[T]):
    """A request that is ready to be sent. Only the functions of this module create one.

    :param request: The completed request. Its path may still be relative.
    :param url: The URL of the request.
    :param with_credentials: Whether to send the credentials. False after a redirect to another host.
    :param redirects: Number of redirects that led to this request.
    """

    request: Request[T]
    url: str
    with_credentials: bool = True
    redirects: int = 0

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def parser(self) -> ResponseParser[T]:
        return self.request.parser

    @property
    def data(self) -> tuple[tuple[str, str], ...]:
        return self.request.data

    @property
    def json(self) -> Any:
        return self.request.json

    @property
    def idempotent(self) -> bool:
        return self.request.idempotent

    @property
    def is_safe(self) -> bool:
        return self.request.is_safe

    @property
    def with_url(self) -> Request[T]:
        """The request with the URL as its path, for parsers and error messages."""
        return self.request.with_path(self.url)

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter, by its name in Twilio's API."""
        return self.request.get(name)

    def __str__(self) -> str:
        return f"{self.method} {mask(urlsplit(self.url).path)}"

    def __repr__(self) -> str:
        return f"<PreparedRequest {self}>"


def prepare(settings: Settings, request: Request[T]) -> PreparedRequest[T]:
    """Complete a request, check it against the guards, and build its URL.

    :raises BadParameter: If the sender is missing, a guard rejects the request, or its host is not Twilio's.
    """
    request = complete(settings, request)
    check_guards(settings, request)
    return PreparedRequest(request, build_url(settings, request.template))


def prepare_like(
    settings: Settings, prepared: PreparedRequest[T], data: tuple[tuple[str, str], ...]
) -> PreparedRequest[T]:
    """Return a prepared request with other form parameters, checked by the guards, for the same URL.

    For bulk sends, whose requests differ in the recipient and the body only.

    :param data: The form parameters, the sender among them.
    :raises BadParameter: If a guard rejects the request.
    """
    request = prepared.request.with_data(data)
    check_guards(settings, request)
    return PreparedRequest(request, prepared.url)


def prepare_redirect(settings: Settings, prepared: PreparedRequest[T], location: str) -> PreparedRequest[T]:
    """Return the request for the URL to which Twilio redirects a GET. Another host receives no credentials.

    :param location: The URL, absolute or relative.
    :raises TwilioError: If the URL is not safe to request, or there were too many redirects.
    """
    url = percent_encode(urljoin(prepared.url, location), _UNESCAPED_IN_URLS)
    origin, target = urlsplit(prepared.url), urlsplit(url)
    fault = None
    if prepared.redirects >= MAX_REDIRECTS:
        fault = f"after {MAX_REDIRECTS} other redirects"
    elif "@" in target.netloc or not target.hostname:
        fault = "and the URL is not valid"
    elif settings.base is not None and _TWILIO_HOST.fullmatch(target.hostname.lower()):
        fault = "but the connection's host replaces Twilio's hosts"
    elif settings.is_local and not is_loopback(target.hostname):
        fault = "and the connection's host is this machine"
    elif target.scheme != "https" and not (settings.is_local and target.scheme == "http"):
        fault = "and the URL is not https"
    if fault is not None:
        raise TwilioError(
            f"{prepared}: Twilio redirects to the host {target.hostname or 'unknown'}, {fault}. The redirect was not"
            " followed"
        )
    same = (origin.scheme, origin.netloc) == (target.scheme, target.netloc)
    request = Request("GET", url, prepared.parser)
    return PreparedRequest(request, url, prepared.with_credentials and same, prepared.redirects + 1)


def complete(settings: Settings, request: Request[T]) -> Request[T]:
    """Return the request with the sender that the connection supplies, if it needs one.

    :raises BadParameter: If neither the request nor the connection names a sender.
    """
    if not request.is_incomplete:
        return request
    supplied = {name: value for name, value in settings.defaults if name in request.requires_one_of}
    if not supplied:
        raise BadParameter(
            " or ".join(_PARAMETERS[name] for name in request.requires_one_of),
            "is missing",
            f"pass it, or set it as an extra of the connection {settings.conn_id}; no request was sent",
        )
    return request.with_params(**supplied)


def check_guards(settings: Settings, request: Request[Any]) -> None:
    """Check a request against the connection's ``allowed_recipients`` and its own ``max_segments``.

    :raises BadParameter: If a recipient is not allowed, or the body has too many segments.
    """
    if request.is_safe:
        return
    guards.check_recipients(request, settings.allowed_recipients)
    guards.check_segments(request)


def build_url(settings: Settings, template: str) -> str:
    """Fill in a template, and return its URL on the connection's host, region and edge.

    :param template: A path from the root, or a URL on one of Twilio's hosts. It may contain ``{AccountSid}``.
    :raises BadParameter: If the host is not Twilio's.
    """
    filled = template.replace("{AccountSid}", settings.account_sid)
    if filled.startswith("/"):
        return _root(settings, HOST, filled) + percent_encode(filled, _UNESCAPED_IN_PATHS)
    parts = urlsplit(filled)
    path = percent_encode(parts.path, _UNESCAPED_IN_PATHS)
    root = f"{parts.scheme}://{parts.netloc}"
    if root == _origin(settings.base):
        return root + path
    if parts.scheme != "https" or not _TWILIO_HOST.fullmatch(parts.netloc):
        raise BadParameter(
            "path",
            f"is on the host {parts.hostname or 'unknown'}",
            "pass a path or a URL on https://….twilio.com, since requests contain the credentials; no request was sent",
        )
    product, *location = parts.netloc.removesuffix(".twilio.com").split(".")
    if location and settings.base is None:  # The URL names its own region.
        check_product(location[-1], product, parts.path)
        return root + path
    return _root(settings, f"{product}.twilio.com", parts.path) + path


def _root(settings: Settings, host: str, path: str) -> str:
    """Return the root of a product's URLs: on the connection's base URL, or else in its region."""
    if settings.base is not None:  # With a base URL, no request is sent to Twilio's own hosts.
        return settings.base if host == HOST else f"{settings.base}/{host}"
    if settings.region is None:
        return f"https://{host}"
    product = host.removesuffix(".twilio.com")
    check_product(settings.region, product, path)
    return f"https://{product}.{settings.edge}.{settings.region}.twilio.com"


def _origin(url: str | None) -> str | None:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}" if url else None

"""Results of prepared requests: the parsed response, or the error that it stands for."""

from __future__ import annotations

import base64
from typing import Any, TypeVar, cast

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.already_ended import AlreadyEnded
from airflow_provider_twilio.api.decoding import BodyTooLarge, BodyUndecodable, decode_body
from airflow_provider_twilio.api.errors import NotFound, OutcomeUnknown, ServerError
from airflow_provider_twilio.api.outcomes import error_for_unreadable, error_from_response
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.prepare import PreparedRequest, prepare, prepare_redirect
from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")

REDIRECTS = frozenset({301, 302, 303, 307, 308})


def parse_response(
    settings: Settings, prepared: PreparedRequest[T], response: Response, *, may_be_done: bool = False
) -> T | PreparedRequest[T]:
    """Return the result that a response holds, or a further request whose response decides.

    A redirect of a raw GET leads to a further request. Its response, if it is a file, becomes a record of its content.

    :param may_be_done: Whether an earlier attempt at the same request may have succeeded. A DELETE that then finds
        nothing has succeeded. A request that ends a call or a message, and is rejected because it has ended, may have
        succeeded: fetching the record decides.
    :raises TwilioError: If Twilio rejected the request, or the response is unreadable or belongs to another account.
    """
    request = prepared.with_url
    location = redirect_location(prepared, response)
    if location is not None:
        return prepare_redirect(settings, prepared, location)
    error = error_from_response(request, response, settings.conn_id)
    if error is not None:
        if may_be_done and request.method == "DELETE" and isinstance(error, NotFound):
            return request.parser.parse(request, Response(204, {}, b""))
        if may_be_done and request.get("Status") and error.code in codes.ALREADY_FINAL:
            return prepare(settings, Request("GET", request.path, AlreadyEnded(request, error)))
        raise error
    if prepared.redirects and not isinstance(response.json(), dict):
        return cast("T", file_record(request, response))
    result = request.parser.parse(request, response)
    if settings.validate and isinstance(result, Record):
        fault = result.validation_error(request.get("AccountSid") or settings.account_sid)
        if fault is not None:
            error_type = ServerError if request.idempotent else OutcomeUnknown
            raise error_type(
                f"{request}: Twilio's response {fault}; set the connection's extra validate to false to accept it",
                status=response.status,
                request_id=response.request_id,
            )
    return result


def redirect_location(prepared: PreparedRequest[T], response: Response) -> str | None:
    """Return the URL to which Twilio redirects a raw GET, or None.

    Media, deactivations and exports are redirected, by a header or by ``redirect_to`` in the body. Operations with
    records of their own are not.
    """
    if response.status not in REDIRECTS or prepared.method != "GET" or prepared.parser is not Record:
        return None
    body = response.json()
    location = response.headers.get("location") or (body.get("redirect_to") if isinstance(body, dict) else None)
    return location.strip() or None if isinstance(location, str) else None


def file_record(request: Request[Any], response: Response) -> Record:
    """Return a file as a record with ``content_type`` and ``content``: decompressed text, or else base64.

    :raises ServerError: If the decompressed file is too large.
    """
    content = response.body
    try:
        if content.startswith(b"\x1f\x8b"):
            content = decode_body(content, "gzip")
        text, encoding = content.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(content).decode(), "base64"
    except (BodyTooLarge, BodyUndecodable):
        raise error_for_unreadable(request, response, "a compressed file that is truncated or too large") from None
    return Record(content_type=response.headers.get("content-type"), encoding=encoding, content=text)

"""Results of prepared requests: the parsed response, or the error that it stands for."""

from __future__ import annotations

from typing import TypeVar

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.already_ended import AlreadyEnded
from airflow_provider_twilio.api.errors import NotFound, OutcomeUnknown, ServerError
from airflow_provider_twilio.api.outcomes import error_from_response
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.prepare import PreparedRequest, prepare
from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")


def parse_response(
    settings: Settings, prepared: PreparedRequest[T], response: Response, *, may_be_done: bool = False
) -> T | PreparedRequest[T]:
    """Return the result that a response holds, or a further request whose response decides.

    :param may_be_done: Whether an earlier attempt at the same request may have succeeded. A DELETE that then finds
        nothing has succeeded. A request that ends a call or a message, and is rejected because it has ended, may have
        succeeded: fetching the record decides.
    :raises TwilioError: If Twilio rejected the request, or the response is unreadable or belongs to another account.
    """
    request = prepared.with_url
    error = error_from_response(request, response, settings.conn_id)
    if error is not None:
        if may_be_done and request.method == "DELETE" and isinstance(error, NotFound):
            return request.parser.parse(request, Response(204, {}, b""))
        if may_be_done and request.get("Status") and error.code in codes.ALREADY_FINAL:
            return prepare(settings, Request("GET", request.path, AlreadyEnded(request, error)))
        raise error
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

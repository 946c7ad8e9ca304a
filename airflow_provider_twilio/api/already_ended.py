"""Retries of requests that end a call or message.

If the response to such a request was lost, Twilio rejects its retry, since the call or message may have ended already.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar, cast

from airflow_provider_twilio.api.calls import FINAL
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response

T = TypeVar("T")


class AlreadyEnded(NamedTuple, Generic[T]):
    """A parser that accepts the rejection of an end request if its record has ended.

    :param change: Request to end the call or message.
    :param rejection: Error with which Twilio rejected it.
    """

    change: Request[T]
    rejection: TwilioError

    def parse(self, request: Request[Any], response: Response) -> T:
        """Parse the record that the request was to end.

        :raises TwilioError: The rejection, when the record has not ended as requested.
        """
        record: Any = self.change.parser.parse(request, response)
        requested = self.change.get("Status")
        # `completed` also ends a call that is still ringing; its final status is then `canceled`.
        if record.get("status") in (FINAL if requested == "completed" else {requested}):
            return cast("T", record)
        raise self.rejection

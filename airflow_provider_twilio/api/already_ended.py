"""What ends a call or a message, lost its answer, and is refused the second time: it may have been done the first."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar, cast

from airflow_provider_twilio.api.calls import FINAL
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response

T = TypeVar("T")


class AlreadyEnded(NamedTuple, Generic[T]):
    """Read what was to be ended: as if it had been done now, if it has ended as was asked for.

    :param change: the request that was to end it.
    :param refusal: what that was refused with.
    """

    change: Request[T]
    refusal: TwilioError

    def parse(self, request: Request[Any], response: Response) -> T:
        """Read the record, or raise the refusal."""
        record: Any = self.change.parser.parse(request, response)
        asked = self.change.get("Status")
        # A call that rings is hung up by `completed` as well, and is canceled then.
        if record.get("status") in (FINAL if asked == "completed" else {asked}):
            return cast("T", record)
        raise self.refusal

"""Patience with rejected credentials while a task waits on a worker: somebody may be rotating them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Generic, NoReturn, TypeVar

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import BlockingClient
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.runtime.polling import shared

log = logging.getLogger(__name__)

T = TypeVar("T")
C = TypeVar("C")


class PatientReader(Generic[C]):
    """Reads of a wait. Rejected credentials are tried again for some minutes.

    When Twilio rejects the credentials, the connection is read again and the read is retried once. If Twilio rejects
    these credentials too, the error is a temporary one, until the time is up.

    :param client: The client or hook to begin with.
    :param reopen: Reads the connection again, and returns a client or hook.
    """

    def __init__(self, client: C, reopen: Callable[[], C]) -> None:
        self._client = client
        self._reopen = reopen
        self._rejected_at: float | None = None

    def read(self, read: Callable[[C], T]) -> T:
        """Call a function with the client, and return its result.

        :param read: Function that only reads.
        :raises AuthenticationFailed: Twilio has rejected the credentials for too long.
        :raises TwilioError: A request failed, or Twilio rejects the credentials for now.
        """
        try:
            result = read(self._client)
        except AuthenticationFailed:
            self._client = self._reopen()
            try:
                result = read(self._client)
            except AuthenticationFailed as error:
                self._raise_temporary(error)
        self._rejected_at = None
        return result

    def _raise_temporary(self, error: AuthenticationFailed) -> NoReturn:
        now = time.monotonic()
        self._rejected_at = now if self._rejected_at is None else self._rejected_at
        if now - self._rejected_at >= shared.AUTH_PATIENCE:
            raise error
        log.warning(
            "Twilio rejects the credentials. Reading the connection again at each poll; the wait fails after %.0f min"
            " of rejections, or at its deadline",
            shared.AUTH_PATIENCE / 60,
        )
        raise TwilioError(str(error)) from error


class PatientClient(PatientReader[BlockingClient]):
    """A blocking client for the reads of a wait. It tries rejected credentials again for some minutes."""

    def send(self, request: Request[T], /) -> T:
        """Send a request that is safe to repeat, and return its parsed response.

        :raises AuthenticationFailed: Twilio has rejected the credentials for too long.
        :raises TwilioError: The request failed, or Twilio rejects the credentials for now.
        """
        return self.read(lambda client: client.send(request))

    def iter_records(self, listing: Listing[T], /) -> Iterator[T]:
        """Yield the records of a list.

        :raises AuthenticationFailed: Twilio has rejected the credentials for too long.
        :raises TwilioError: A request failed, or Twilio rejects the credentials for now.
        """
        yield from self.read(lambda client: list(client.iter_records(listing)))

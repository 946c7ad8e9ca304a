"""Send a request exactly once, across retries, crashes and lost responses.

Twilio has no idempotency key for messages, calls, phone numbers and accounts. Therefore the intent is stored before the
request is sent, and the SID of the record afterwards. A try that finds an intent without a SID, or receives no
response, reconciles: it lists the matching records at Twilio, and sends the request again only once the original one
can no longer be in flight.

Imports no Airflow: the caller passes in the client, the state store, the clock and the siblings. :func:`send_once` is
the entry point; bulk sends use :func:`~airflow_provider_twilio.runtime.idempotency.fingerprint.fingerprint`,
:func:`~airflow_provider_twilio.runtime.idempotency.fingerprint.match` and
:class:`~airflow_provider_twilio.runtime.idempotency.intent.Intent` directly. The stored state reveals no phone numbers
and no message bodies: they are hashed with the connection's secret. The exception is a phone number that is purchased.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, NotFound, OutcomeUnknown, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.prepare import prepare
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.clock import SystemTime, TimeSource
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    OnUnresolved,
    fingerprint,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from airflow_provider_twilio.runtime.idempotency.journal import SendJournal, sent_at
from airflow_provider_twilio.runtime.idempotency.reconcile import SendReconciler, poll_delays
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingRegistry, Siblings
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client

R = TypeVar("R", bound=Record)

MAX_ATTEMPTS = 2
"""Maximum number of attempts in one try. Twilio's list must show that the first had no effect before the second."""

log = logging.getLogger(__name__)


def send_once(
    client: Client,
    store: StateStore,
    request: Request[R],
    *,
    key: str,
    clock: TimeSource | None = None,
    reconcile_timeout: float = RECONCILE_TIMEOUT,
    on_unresolved: OnUnresolved | None = None,
    siblings: Siblings | None = None,
    claimed_sids: Callable[[], Collection[str]] | None = None,
    possible_since: datetime | None = None,
    finalize_request: Callable[[Request[R]], Request[R]] | None = None,
) -> R:
    """Send a request that creates a record, unless an earlier try has sent it; return the record.

    :param client: The client of the connection.
    :param store: The state store that keeps the intent and the SID.
    :param request: The request that creates a message, call, phone number or account.
    :param key: Identifies the request in the state store. Calls with the same key send one request.
    :param clock: The clock to read and wait by. By default, the clock of this machine.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before an
        earlier request is considered not sent.
    :param on_unresolved: Whether to ``resend`` the request or to ``fail`` if Twilio then lists no matching record. By
        default, messages and calls are sent again, and phone numbers and accounts fail.
    :param siblings: The task instances of the DAG run that may send the same request.
    :param claimed_sids: Returns SIDs that are known to belong to other requests. It is called only to reconcile.
    :param possible_since: If the state store is not durable, the earliest time at which an earlier try may have sent
        the request; None if there was no earlier try.
    :param finalize_request: Called before the intent is stored. It returns the request to send, such as with the number
        to purchase, or raises BadParameter if the request can no longer be sent.
    :raises BadParameter: When the request is invalid.
    :raises OutcomeUnresolved: When the outcome of an earlier attempt is unknown, and the request must not be sent
        again.
    :raises AmbiguousOutcome: When several records may be the result, or one that may belong to a sibling.
    :raises OutcomeUnknown: When the second attempt also received no response. The next try reconciles.
    """
    if client.settings.dry_run:
        return client.send(finalize_request(request) if finalize_request else request)
    clock = clock or SystemTime()
    keyed_hash = KeyedHash.from_settings(client.settings)
    registry = SiblingRegistry(siblings, keyed_hash, clock)
    reconciler = SendReconciler(
        client,
        keyed_hash,
        registry,
        clock,
        reconcile_timeout=reconcile_timeout,
        on_unresolved=on_unresolved or _default_on_unresolved(request),
        claimed_sids=claimed_sids,
    )
    journal = SendJournal(store, key, clock, registry)
    send = _SendOnce(client, request, journal, reconciler, keyed_hash, clock, finalize_request)
    return cast("R", send.run(possible_since))


def _default_on_unresolved(request: Request[Any]) -> OnUnresolved:
    """Return what to do by default if Twilio lists no matching record."""
    # Twilio may list the message under an obfuscated recipient, so its absence proves nothing.
    is_obfuscated = request.get("AddressRetention") == "obfuscate"
    return "fail" if is_obfuscated else matcher_for(request).on_unresolved


class _SendOnce:
    """One call of :func:`send_once`: decides whether to send the request, and sends it."""

    def __init__(
        self,
        client: Client,
        request: Request[Any],
        journal: SendJournal,
        reconciler: SendReconciler,
        keyed_hash: KeyedHash,
        clock: TimeSource,
        finalize_request: Callable[[Request[Any]], Request[Any]] | None,
    ) -> None:
        self._client, self._journal, self._reconciler = client, journal, reconciler
        self._keyed_hash, self._clock, self._finalize_request = keyed_hash, clock, finalize_request
        self._matcher = matcher_for(request)
        self._prepared = prepare(client.settings, request)
        self._attempts = 0

    @property
    def _request(self) -> Request[Any]:
        """The request, completed with the defaults of the connection."""
        return self._prepared.request

    def run(self, possible_since: datetime | None) -> Record:
        """Return the record of the request, from an earlier try or by sending it."""
        state = self._journal.load()
        if state and state.get("sid"):
            return self._return_existing(state)
        if state:
            self._journal.intent = Intent.from_json(state)
            log.info("Reconciling with Twilio: an earlier try may have sent this request")
        elif possible_since is not None and not self._journal.durable:
            expected = fingerprint(self._request, self._keyed_hash)
            self._journal.intent = Intent(expected, self._digest(), possible_since, self._clock.now(), 0.0)
            log.info("Reconciling with Twilio: an earlier try may have sent this request, and no state is stored")
        if self._journal.intent is None:
            return self._send()
        self._journal.publish()
        return self._reconcile(self._journal.intent)

    def _digest(self) -> str:
        return self._keyed_hash.json(self._request.data)

    def _return_existing(self, state: Mapping[str, Any]) -> Record:
        """Return the record that an earlier try created. Twilio may not find a new one for a moment."""
        sid = state["sid"]
        log.info("Not sending: an earlier try has sent this request (%s)", sid)
        self._journal.publish(sid)
        seconds_left = RECONCILE_TIMEOUT - (self._clock.now() - sent_at(state)).total_seconds()
        for delay in poll_delays():
            try:
                return cast("Record", self._client.send(self._matcher.fetch(sid)))
            except NotFound:
                if seconds_left <= 0:
                    break
                seconds_left -= delay
                self._clock.sleep(delay)
        log.warning("Returning a record with the SID only: Twilio no longer has %s", sid)
        return cast("Callable[[Any], Record]", self._request.parser)({"sid": sid})

    def _reconcile(self, intent: Intent) -> Record:
        """Return the record that an earlier attempt created, or send the request again."""
        record = self._reconciler.find_record(self._request, intent)
        if record is None:
            log.warning("No matching record found at Twilio: sending again")
            return self._send()
        self._journal.store_sid(record["sid"])
        return record

    def _send(self) -> Record:
        """Send the request, and reconcile if there is no response."""
        self._finalize()
        self._attempts += 1
        try:
            record = self._send_with_retries()
        except OutcomeUnknown as error:
            if self._attempts >= MAX_ATTEMPTS:
                raise
            log.warning("Reconciling with Twilio after an unknown outcome: %s", error)
            return self._reconcile(self._journal.extend_intent())
        except TwilioError:
            self._journal.discard_intent()
            raise
        self._journal.store_sid(record["sid"])
        return record

    def _finalize(self) -> None:
        """Replace the request by the one that is sent now."""
        intent = self._journal.intent
        if intent is not None and (number := intent.fingerprint.get("number")):
            # An earlier attempt may have purchased this number: never purchase another one.
            data = tuple(pair for pair in self._request.data if pair[0] != "AreaCode")
            request = self._request.replace(data=data).with_params(PhoneNumber=number)
            self._prepared = prepare(self._client.settings, request)
        elif self._finalize_request is not None:
            try:
                request = self._finalize_request(self._request)
                if request is not self._request:
                    self._prepared = prepare(self._client.settings, request)
            except BadParameter as error:
                if intent is None:
                    raise
                raise InvalidRequest(
                    f"an earlier try did not send this request, and it is no longer valid: {error}"
                ) from None

    def _send_with_retries(self) -> Record:
        """Send the request, and retry it for as long as Twilio has certainly not processed it.

        Each retry stores the intent again. The request gets a connection of its own, since one that was idle for a long
        time may lose the response.
        """
        from airflow_provider_twilio.client.retries import retry_delay

        settings, earlier = self._client.settings, self._journal.intent
        attempts = earlier.attempts + 1 if earlier else 1
        with self._client.with_settings(retries=0) as single:
            tries = 0
            while True:
                expected = fingerprint(self._request, self._keyed_hash)
                self._journal.store_intent(expected, self._digest(), settings.timeout, attempts)
                tries += 1
                try:
                    return cast("Record", single.send(self._prepared))
                except TwilioError as error:
                    delay = retry_delay(settings, self._request, error, tries)
                    if delay is None:
                        raise
                    self._clock.sleep(delay)

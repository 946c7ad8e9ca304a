"""Send a request exactly once, across retries, crashes and lost responses.

Twilio has no idempotency key for messages, calls, phone numbers and accounts. Therefore the intent is stored before the
request is sent, and the SID of the record afterwards. A try that finds an intent without a SID, or receives no
response, reconciles: it lists the matching records at Twilio, and sends the request again only once the original one
can no longer be in flight.

This module does not import Airflow: the caller passes in the client, the state store, the clock and the siblings.
:func:`send_once` is the entry point. Bulk sends use
:mod:`~airflow_provider_twilio.runtime.idempotency.fingerprint` and
:class:`~airflow_provider_twilio.runtime.idempotency.intent.Window` directly. The stored state reveals no phone numbers
and no message bodies: they are hashed with the connection's secret. The exception is a phone number that is purchased.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, OutcomeUnknown, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.prepare import prepare
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.clock import SendClock, SystemTime, TimeSource
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    OnUnresolved,
    fingerprint,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from airflow_provider_twilio.runtime.idempotency.journal import Overtaken, SendJournal, TakenOver
from airflow_provider_twilio.runtime.idempotency.reconcile import SendReconciler, fetch_record
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingRegistry, Siblings
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client

R = TypeVar("R", bound=Record)

MAX_ATTEMPTS = 2
"""Maximum number of attempts in one try. The second one is made only if Twilio's list shows no effect of the first."""

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
    not_before: datetime | None = None,
    is_probably_unsent: bool = False,
    keep_unsent: bool = False,
    finalize_request: Callable[[Request[R]], Request[R]] | None = None,
) -> R:
    """Send a request that creates a record, unless an earlier try has sent it; return the record.

    :param client: The client of the connection.
    :param store: The state store that keeps the intent and the SID.
    :param request: The request that creates a message, call, phone number or account.
    :param key: Identifies the request in the state store. Calls with the same key send one request.
    :param clock: The source of the current time and of delays. By default, the clock of this machine.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before an
        earlier request is considered not sent.
    :param on_unresolved: Whether to ``resend`` the request or to ``fail`` if Twilio then lists no matching record. By
        default, messages and calls are sent again, and phone numbers and accounts fail.
    :param siblings: The task instances of the DAG run that may send the same request.
    :param claimed_sids: Returns SIDs that are known to belong to other requests. It is called only to reconcile.
    :param possible_since: The earliest time at which an earlier try may have sent the request, if nothing is stored;
        None if there was no earlier try.
    :param not_before: Time before which no try can have sent the request, such as the start of the DAG run. By default,
        12 hours before the time of the intent.
    :param is_probably_unsent: Whether to assume, if nothing is stored, that earlier tries failed before they sent the
        request. Twilio's list is then read once, without waiting. If it has no matching record, the request is sent,
        unless ``on_unresolved`` is ``fail``.
    :param keep_unsent: Whether to store that a request was not sent, so that a later try with ``possible_since`` need
        not reconcile. Pass the same value in all tries.
    :param finalize_request: Function that is called before the intent is stored. It returns the request to send, for
        example with the number to purchase added, or raises BadParameter if the request can no longer be sent.
    :raises BadParameter: When the request is invalid.
    :raises OutcomeUnresolved: When the outcome of an earlier attempt is unknown, and the request must not be sent
        again.
    :raises AmbiguousOutcome: When several records match, or the only match may belong to a sibling.
    :raises OutcomeUnknown: When the second attempt also received no response, or when another process of the task has
        taken over. The next try reconciles.
    """
    if client.settings.dry_run:
        return client.send(finalize_request(request) if finalize_request else request)
    send_clock = SendClock(clock or SystemTime(), client.twilio_clock)
    keyed_hash = KeyedHash.from_settings(client.settings)
    registry = SiblingRegistry(siblings, keyed_hash, send_clock)
    journal = SendJournal(store, key, send_clock, registry, keep_unsent=keep_unsent)
    reconciler = SendReconciler(
        client,
        keyed_hash,
        registry,
        journal,
        send_clock,
        reconcile_timeout=reconcile_timeout,
        on_unresolved=on_unresolved,
        claimed_sids=claimed_sids,
        not_before=not_before,
    )
    send = _SendOnce(client, request, journal, reconciler, keyed_hash, send_clock, finalize_request)
    return cast("R", send.run(possible_since, is_probably_unsent))


class _SendOnce:
    """One call of :func:`send_once`: decides whether to send the request, and sends it."""

    def __init__(
        self,
        client: Client,
        request: Request[Any],
        journal: SendJournal,
        reconciler: SendReconciler,
        keyed_hash: KeyedHash,
        clock: SendClock,
        finalize_request: Callable[[Request[Any]], Request[Any]] | None,
    ) -> None:
        self._client, self._journal, self._reconciler = client, journal, reconciler
        self._keyed_hash, self._clock, self._finalize_request = keyed_hash, clock, finalize_request
        matcher_for(request)  # raises an error if the request cannot be sent exactly once
        self._prepared = prepare(client.settings, request)
        self._attempts = 0

    @property
    def _request(self) -> Request[Any]:
        """The request, completed with the defaults of the connection."""
        return self._prepared.request

    def run(self, possible_since: datetime | None, is_probably_unsent: bool) -> Record:
        """Return the record that an earlier try created, or send the request. See :func:`send_once`."""
        state = self._journal.load()
        if state and state.get("sid"):
            return self._return_existing(state)
        if state and "sent_at" in state:
            log.info("Reconciling with Twilio: an earlier try may have sent this request")
            self._journal.take_over(Intent.from_json(state))
            return self._reconcile()
        if state is None and possible_since is not None:
            log.info("Searching Twilio's list: an earlier try may have sent this request, and no state is stored")
            expected = fingerprint(self._request, self._keyed_hash)
            intent = Intent(expected, self._digest(), possible_since, self._clock.now(), 0.0)
            if is_probably_unsent:
                return self._find_or_send(intent)
            self._journal.take_over(intent)
            return self._reconcile()
        return self._send()

    def _find_or_send(self, intent: Intent) -> Record:
        """Return the record that an earlier try created, or send the request for the first time."""
        self._journal.adopt(intent)  # not stored: probably nothing was sent
        record = self._reconciler.find_record(self._request, is_probably_unsent=True)
        if record is None:
            if self._journal.intent is intent:  # no earlier process has stored its own
                self._journal.intent = None
            return self._send()
        self._journal.store_sid(record["sid"])
        return record

    def _digest(self) -> str:
        return self._keyed_hash.json(self._request.data)

    def _return_existing(self, state: Mapping[str, Any]) -> Record:
        """Return the record that another try created."""
        log.info("Not sending: another try has sent this request (%s)", state["sid"])
        self._journal.publish(state["sid"])
        return fetch_record(self._client, self._request, state, self._clock)

    def _reconcile(self) -> Record:
        """Return the record that an earlier attempt created, or send the request again."""
        record = self._reconciler.find_record(self._request)
        if record is None:
            log.warning("No matching record found at Twilio: sending again")
            return self._send()
        self._journal.store_sid(record["sid"])
        return record

    def _send(self) -> Record:
        """Send the request, and reconcile if there is no response."""
        try:
            self._finalize()
        except Exception:
            self._journal.store_unsent()
            raise
        self._attempts += 1
        try:
            record = self._send_with_retries()
        except Overtaken as overtaken:
            if overtaken.state.get("sid"):
                return self._return_existing(overtaken.state)
            log.warning("Reconciling with Twilio: an earlier process of this task is still sending this request")
            return self._reconcile()
        except TakenOver:
            raise
        except OutcomeUnknown as error:
            if self._attempts >= MAX_ATTEMPTS:
                raise
            log.warning("Reconciling with Twilio after an unknown outcome: %s", error)
            return self._reconcile()
        except TwilioError:
            self._journal.discard_intent()
            raise
        self._journal.store_sid(record["sid"])
        return record

    def _finalize(self) -> None:
        """Replace the request with the final one: with the number to purchase, or from ``finalize_request``."""
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
                started = self._clock.elapsed
                try:
                    return cast("Record", single.send(self._prepared))
                except OutcomeUnknown:
                    self._journal.extend_intent(self._clock.elapsed - started)
                    raise
                except TwilioError as error:
                    self._clock.measure()
                    delay = retry_delay(settings, self._request, error, tries)
                    if delay is None:
                        raise
                    self._clock.sleep(delay)

"""One send, whatever is retried, killed or lost.

Twilio has no idempotency key for messages, calls, numbers and accounts. So the intent is stored before the request,
and the SID after it. Whoever then finds an intent without a SID, or gets no answer, settles: it asks Twilio what
exists, and sends again only when the request can no longer be on its way.

Imports no Airflow: the client, the memory, the clock and the twins are handed in. :func:`send_once` is all of it;
:func:`sought`, :func:`fits` and :class:`Intent` are its parts for those who send many. What is stored says nothing of
numbers and bodies: they are hashed with the connection's secret, save for a number that is to be bought.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from airflow_provider_twilio.api.errors import (
    AmbiguousOutcome,
    BadParameter,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutcomeUnresolved,
    TwilioError,
)
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.prepare import prepare
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    OnUnresolved,
    created_at,
    fingerprint,
    match,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import Intent, is_within
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client

R = TypeVar("R", bound=Record)


MAX_STORE_DELAY = 5.0
"""Seconds that storing the intent may take before its time no longer tells when the request went out."""


MAX_ATTEMPTS = 2
"""How often one call sends, each time after it has seen that the one before was not carried out."""


MAX_RECORDS = 20_000
"""How many records of a list are looked through."""


POLL_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks; the last one again and again."""


CLAIM_DELAY = 1.0
"""Seconds between claiming a record and looking whether a twin has claimed it too."""


REMEDY = "Look at Twilio's log, then clear the task to send, or mark it"


log = logging.getLogger(__name__)


class TimeSource(Protocol):
    """Tell the time, and let it pass."""

    def now(self) -> datetime: ...
    def sleep(self, seconds: float, /) -> None: ...


class SystemTime:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


class Siblings(Protocol):
    """The others of a run that may send the same, such as mapped tasks: each publishes one entry, and reads all.

    An entry is JSON: ``who`` publishes it, hashes of what it has sent (``alike``, ``same``) and when (``since``,
    ``ends``), and the ``sid`` it owns.
    """

    owner: list[Any]

    def publish(self, entry: dict[str, Any], /) -> None: ...
    def entries(self) -> list[dict[str, Any]]: ...


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
    """Send a message, call, purchase or new subaccount, unless it has been sent already; give its record.

    :param memory: where the intent and the SID are kept.
    :param key: names what is sent among all that the memory holds. Who comes with the same key sends the same.
    :param reconcile_timeout: seconds beyond the time-out before "it is in no list" means "it was never sent".
    :param on_unresolved: what then: ``resend`` again, or ``fail``; by default messages and calls are sent, purchases and
        accounts fail.
    :param twins: the others of the run that may send the same.
    :param taken: gives further SIDs that are known to belong elsewhere; asked only when something is to be settled.
    :param since: where nothing is remembered, when an earlier try may have begun to send; None if there was none.
    :param finalize_request: Called before the intent is stored. It returns the request to send, such as with the number
        to buy, or raises BadParameter if the request can no longer be sent.
    :raises OutcomeUnresolved: it can't be told whether it was sent, or it was not, and is not to be sent again.
    :raises AmbiguousOutcome: several candidates, or one that may be a twin's.
    :raises OutcomeUnknown: no answer again; the next try will settle it.
    """
    if client.settings.dry_run:
        return client.send(finalize_request(request) if finalize_request else request)
    sender = _SendOnce(
        client, store, request, key, clock or SystemTime(), reconcile_timeout, siblings, claimed_sids, finalize_request
    )
    # Twilio may list it under another recipient than the one it was sent to.
    obscure = request.get("AddressRetention") == "obfuscate"
    sender.on_unresolved = on_unresolved or ("fail" if obscure else sender.matcher.on_unresolved)
    return cast("R", sender.run(possible_since))


class _SendOnce:
    """Carry out one :func:`send_once`."""

    on_unresolved: OnUnresolved

    def __init__(
        self,
        client: Client,
        store: StateStore,
        request: Request[Any],
        key: str,
        clock: TimeSource,
        reconcile_timeout: float,
        siblings: Siblings | None,
        claimed_sids: Callable[[], Collection[str]] | None,
        finalize_request: Callable[[Request[Any]], Request[Any]] | None,
    ) -> None:
        self.client, self.store, self.key, self.clock = client, store, key, clock
        self.reconcile_timeout, self.siblings, self.claimed_sids, self.finalize_request = (
            reconcile_timeout,
            siblings,
            claimed_sids,
            finalize_request,
        )
        self.matcher = matcher_for(request)
        self.prepared = prepare(client.settings, request)
        self.keyed_hash = KeyedHash.from_settings(client.settings)
        self.intent: Intent | None = None
        self.attempts = 0

    @property
    def request(self) -> Request[Any]:
        """The completed request."""
        return self.prepared.request

    def run(self, since: datetime | None) -> Record:
        state = self.store.get(self.key)
        if state and state.get("sid"):
            return self._return_existing(state)
        if state:
            self.intent = Intent.from_json(state)
            log.info("An earlier try may have sent this: asking Twilio")
        elif since is not None and not self.store.durable:
            now = self.clock.now()
            self.intent = Intent(fingerprint(self.request, self.keyed_hash), self._digest(), since, now, 0.0)
            log.info("Earlier tries may have sent this, and nothing is remembered of them: asking Twilio")
        if self.intent is None:
            return self._send()
        self._publish(None)
        return self._reconcile(self.intent)

    def _digest(self) -> str:
        return self.keyed_hash.json(self.request.data)

    def _return_existing(self, state: Mapping[str, Any]) -> Record:
        """Give the record of what has been sent; Twilio may not find a fresh one for a moment."""
        sid = state["sid"]
        log.info("An earlier try has sent this (%s): not sending again", sid)
        self._publish(sid)
        patience = RECONCILE_TIMEOUT - (self.clock.now() - datetime.fromisoformat(state["sent_at"])).total_seconds()
        for pause in _poll_delays():
            try:
                return cast("Record", self.client.send(self.matcher.fetch(sid)))
            except NotFound:
                if patience <= 0:
                    break
                patience -= pause
                self.clock.sleep(pause)
        log.warning("%s is no longer at Twilio: its record holds the SID only", sid)
        return cast("Callable[[Any], Record]", self.request.parser)({"sid": sid})

    # ------------------------------------------------------------ sending

    def _send(self) -> Record:
        number = self.intent.fingerprint.get("number") if self.intent else None
        if number:  # the same one again, never another
            kept = self.request.replace(data=tuple(pair for pair in self.request.data if pair[0] != "AreaCode"))
            self.prepared = prepare(self.client.settings, kept.with_params(PhoneNumber=number))
        elif self.finalize_request is not None:
            try:
                request = self.finalize_request(self.request)
                if request is not self.request:
                    self.prepared = prepare(self.client.settings, request)
            except BadParameter as error:
                if self.intent is None:
                    raise
                raise InvalidRequest(f"an earlier try did not send this, and now it can't be sent: {error}") from None
        self.attempts += 1
        try:
            record = self._send_with_retries()
        except OutcomeUnknown as error:
            if self.intent is None or self.attempts >= MAX_ATTEMPTS:
                raise
            log.warning("%s. Asking Twilio", error)
            self._extend_intent(self.intent)
            return self._reconcile(self.intent)
        except TwilioError:
            self._discard_intent()
            raise
        self._store_sid(record["sid"])
        return record

    def _extend_intent(self, intent: Intent) -> None:
        """Keep how long the request has really taken, where that was longer than its time-out: many addresses, say."""
        taken = (self.clock.now() - intent.sent_at).total_seconds()
        if taken > intent.timeout:
            self.intent = replace(intent, timeout=taken)
            self._publish(None)
            self.store.set(self.key, self.intent.as_json())

    def _send_with_retries(self) -> Record:
        """Send, and send again what Twilio surely has not acted on, the intent's time renewed each time.

        On a connection that is closed afterwards: one that has long been idle may lose the answer.
        """
        from airflow_provider_twilio.client import retries as retrying

        begun, settings = self.intent, self.client.settings
        with self.client.with_settings(retries=0) as single:
            tries = 0
            while True:
                self._store_intent(begun)
                tries += 1
                try:
                    return cast("Record", single.send(self.prepared))
                except TwilioError as error:
                    pause = retrying.retry_delay(settings, self.request, error, tries)
                    if pause is None:
                        raise
                    self.clock.sleep(pause)

    def _store_intent(self, begun: Intent | None) -> None:
        """Store the intent, with a time that is true when the request goes out. Twins are told before."""
        wanted, timeout = fingerprint(self.request, self.keyed_hash), self.client.settings.timeout
        sends = begun.attempts + 1 if begun else 1
        for _ in range(3):
            at = self.clock.now()
            since = self.intent.first_sent_at if self.intent else at
            self.intent = Intent(wanted, self._digest(), since, at, timeout, sends)
            self._publish(None)
            self.store.set(self.key, self.intent.as_json())
            if (self.clock.now() - at).total_seconds() <= MAX_STORE_DELAY:
                return

    def _store_sid(self, sid: str) -> None:
        """Remember the SID. Twins are told first: what is remembered has then always been told."""
        try:
            self._publish(sid)
        finally:
            self.store.set(self.key, {"sid": sid, "sent_at": self.clock.now().isoformat()})

    def _discard_intent(self) -> None:
        """Let the next try send without asking: Twilio surely has not acted on this one, and there was none before."""
        if self.intent is not None and self.intent.attempts == 1 and self.store.get(self.key) == self.intent.as_json():
            self.store.delete(self.key)
            if self.siblings is not None:
                self.siblings.publish({**self._entry(None), "fingerprint": None})

    # ------------------------------------------------------------ settling

    def _reconcile(self, intent: Intent) -> Record:
        """Ask Twilio what became of the request, until that is known."""
        self._check_recipient(intent)
        for look, pause in enumerate(_poll_delays()):
            # Before the list is read: whatever is not in it then will not come.
            unsure = self._unresolved_siblings()
            over = max([intent.ends_at, *map(_ends, unsure)]) + timedelta(seconds=self.reconcile_timeout)
            left = (over - self.clock.now()).total_seconds()
            candidates = self._candidates(intent, unsure)
            ours = [record for record in candidates if match(self.request, record, intent, self.keyed_hash)]
            chosen = self._pick_own(intent, candidates, ours, unsure)
            if chosen is not None and self._claim(chosen["sid"]):
                log.info("It was sent: %s", chosen)
                self._store_sid(chosen["sid"])
                return chosen
            if left <= 0 and chosen is None:
                if ours:
                    raise self._ambiguous(ours, unsure)
                break
            if look == 0 and left > 0:
                log.info("It can't be told yet whether it was sent: looking again and again, for about %.0f s", left)
            self.clock.sleep(min(pause, left) if left > 0 else pause)
        if self.on_unresolved == "fail":
            raise OutcomeUnresolved(
                f"{self.request}: the outcome was not known, and Twilio lists nothing that fits; it was not sent again."
                f" {REMEDY}"
            )
        log.warning("Nothing that fits was found at Twilio: sending")
        return self._send()

    def _check_recipient(self, intent: Intent) -> None:
        now = fingerprint(self.request, self.keyed_hash)
        if intent.fingerprint["key_id"] == now["key_id"] and intent.fingerprint.get("to") != now.get("to"):
            raise OutcomeUnresolved(
                f"{self.request}: an earlier try may have sent this to another recipient than now; nothing was sent"
                f" again. {REMEDY}"
            )

    def _candidates(self, intent: Intent, unsure: list[dict[str, Any]]) -> list[Record]:
        """Give what is nobody's and fits this task or a twin, the best fits only, the earliest first."""
        since, ends = min([intent.first_sent_at, *map(_since, unsure)]), max([intent.ends_at, *map(_ends, unsure)])
        intent = replace(intent, first_sent_at=since, sent_at=ends, timeout=0.0)
        listing = self.matcher.listing(self.request, intent.fingerprint).replace(limit=MAX_RECORDS)
        found: dict[int, list[Record]] = {1: [], 2: []}
        seen = 0
        for record in self.client.iter_records(listing):
            seen += 1
            if degree := match(self.request, record, intent, self.keyed_hash):
                found[degree].append(record)
        if found[1] or found[2]:
            elsewhere = {entry["sid"] for entry in self._siblings()} | set(
                self.claimed_sids() if self.claimed_sids else ()
            )
            for degree in (2, 1):
                if free := [record for record in found[degree] if record["sid"] not in elsewhere]:
                    return sorted(free, key=lambda record: (created_at(record) or intent.first_sent_at, record["sid"]))
        elif seen >= MAX_RECORDS:
            raise OutcomeUnresolved(
                f"{self.request}: the outcome is not known, and Twilio's list is too long to look through"
                f" ({MAX_RECORDS} records); nothing was sent again. {REMEDY}"
            )
        return []

    def _pick_own(
        self, intent: Intent, candidates: list[Record], ours: list[Record], unsure: list[dict[str, Any]]
    ) -> Record | None:
        """Give the record that is ours, if that can be told."""
        if len(ours) == 1 and not any(is_within(_since(e), created_at(ours[0]), _ends(e)) for e in unsure):
            return ours[0]
        # There may be as many as have sent the same. If none of them still waits for its answer, whose is whose makes
        # no difference, as long as all agree, and nobody is given what is outside of its own time.
        now, same = self.clock.now(), intent.digest
        if len(candidates) != len(unsure) + 1 or any(e["digest"] != same or _ends(e) > now for e in unsure):
            return None
        mine = self._entry(None)
        pairs = list(zip(sorted([mine, *unsure], key=lambda e: (_since(e), e["owner"])), candidates, strict=True))
        if all(is_within(_since(entry), created_at(record), _ends(entry)) for entry, record in pairs):
            return next(record for entry, record in pairs if entry is mine)
        return None

    def _ambiguous(self, candidates: list[Record], unsure: list[dict[str, Any]]) -> AmbiguousOutcome:
        sids = [record["sid"] for record in candidates]
        others = f", and {len(unsure)} more of this run may have sent the same" if unsure else ""
        return AmbiguousOutcome(
            f"{self.request}: it can't be told which is this task's: {', '.join(sids)}{others}; nothing was sent"
            f" again. {REMEDY}",
            sids,
        )

    # ------------------------------------------------------------ twins

    def _claim(self, sid: str) -> bool:
        """Tell twins that a record is ours; False if one of them says the same at the same time."""
        if self.siblings is None:
            return True
        self._publish(sid)
        self.clock.sleep(CLAIM_DELAY)
        if any(entry["sid"] == sid for entry in self._siblings()):
            # Either both step back, or the other one stays. Look again, not both at once.
            self._publish(None)
            self.clock.sleep(CLAIM_DELAY * random.uniform(1, 5))  # noqa: S311 (no secret is made of it)
            return False
        return True

    def _entry(self, sid: str | None) -> dict[str, Any]:
        intent, owner = self.intent, self.siblings.owner if self.siblings else []
        if intent is None:
            return {"owner": owner, "fingerprint": None, "sid": sid}
        return {
            "owner": owner,
            "fingerprint": self.keyed_hash.json(dict(intent.fingerprint)),
            "digest": intent.digest,
            "first_sent_at": intent.first_sent_at.isoformat(),
            "ends_at": intent.ends_at.isoformat(),
            "sid": sid,
        }

    def _publish(self, sid: str | None) -> None:
        if self.siblings is not None:
            self.siblings.publish(self._entry(sid))

    def _siblings(self) -> list[dict[str, Any]]:
        if self.siblings is None:
            return []
        return [entry for entry in self.siblings.entries() if entry["owner"] != self.siblings.owner]

    def _unresolved_siblings(self) -> list[dict[str, Any]]:
        """Give the entries of the others that may have sent what can't be told from ours."""
        alike = self._entry(None)["fingerprint"]
        return [entry for entry in self._siblings() if entry["fingerprint"] == alike and not entry["sid"]]


def _since(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["first_sent_at"])


def _ends(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["ends_at"])


def _poll_delays() -> Iterator[float]:
    yield from POLL_DELAYS
    while True:
        yield POLL_DELAYS[-1]

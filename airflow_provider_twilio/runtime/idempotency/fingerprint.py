"""The fingerprint of a request: what its record at Twilio will look like, and how to recognize that record."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_twilio.api.accounts import Account, Accounts
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.segments import smart_encode
from airflow_provider_twilio.runtime.idempotency.intent import Intent

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings

OnUnresolved = Literal["resend", "fail"]
"""What to do if the outcome of an earlier attempt is unknown, and Twilio lists no matching record."""


class KeyedHash:
    """A hash function keyed with a secret: equal values have equal hashes that reveal nothing about them.

    :param secret: The key.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.key_id = self("")[:8]
        """Identifies the secret, without revealing it: hashes can be compared only if their secret is the same."""

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyedHash:
        """Return the hash function that is keyed with a connection's secret."""
        return cls(settings.auth.secret)

    def __call__(self, value: str) -> str:
        return hmac.new(self._secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]

    def json(self, value: Any) -> str:
        """Return the hash of a value's JSON."""
        return self(json.dumps(value, sort_keys=True))


class Match(IntEnum):
    """The degree to which a record matches a fingerprint."""

    NONE = 0
    """The record is a different one."""
    PARTIAL = 1
    """The record agrees where it can be compared, but some of it cannot."""
    EXACT = 2
    """The record agrees in everything that the fingerprint names."""

    @classmethod
    def partial_if(cls, agrees: bool) -> Match:
        return cls.PARTIAL if agrees else cls.NONE

    @classmethod
    def exact_if(cls, agrees: bool) -> Match:
        return cls.EXACT if agrees else cls.NONE


class Matcher(Protocol):
    """Anything that can recognize the record that a request has created, for one type of record."""

    record_type: str
    """Name of the record type, as used in error messages."""

    on_unresolved: OnUnresolved
    """The default of :func:`~airflow_provider_twilio.runtime.idempotency.send.send_once` for this type."""

    def fingerprint(self, request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
        """Return the properties of the record that the request creates, as JSON, with private values hashed."""

    def listing(self, request: Request[Any], expected: Mapping[str, Any]) -> Listing[Any]:
        """Return the list that contains the record. It has no filter on values that Twilio may set later."""

    def match(self, record: Record, expected: Mapping[str, Any], keyed_hash: KeyedHash) -> Match:
        """Return how well a record matches the expected fingerprint, regardless of when it was created."""

    def fetch(self, sid: str) -> Request[Any]:
        """Return the request that fetches a record."""


TRIAL_PREFIX = "Sent from your Twilio trial account - "
"""Text that Twilio puts in front of the body of a message from a trial account."""


def _normalize(text: str) -> str:
    """Return a body in the form in which bodies that look the same are equal."""
    return unicodedata.normalize("NFC", text).strip()


def _may_be_smart_encoded(request: Request[Any]) -> bool:
    """Return whether Twilio may replace characters of the body by similar ones in GSM-7.

    Smart encoding is a parameter of the request, or a setting of the messaging service, which the request does not
    show. It applies to SMS, not to channels such as WhatsApp.
    """
    is_channel = ":" in (request.get("To") or "")
    return not is_channel and (request.get("SmartEncoded") == "true" or bool(request.get("MessagingServiceSid")))


def _values(request: Request[Any], name: str) -> list[str]:
    return [value for key, value in request.data if key == name]


class MessageMatcher:
    """The matcher for messages: same recipient, same sender or messaging service, and same body.

    Where the body cannot be compared, the number of media items is compared instead.
    """

    record_type = "message"
    on_unresolved: OnUnresolved = "resend"
    fetch = staticmethod(Messages.fetch)

    def fingerprint(self, request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
        get, media = request.get, len(_values(request, "MediaUrl"))
        body, sender = get("Body"), get("From")
        # Twilio builds the body from a template, replaces the links in it, or does not store it.
        hidden = get("ContentSid") or get("ShortenUrls") == "true" or get("ContentRetention") == "discard"
        return {
            "to": keyed_hash(get("To") or ""),
            "from": keyed_hash(sender) if sender else None,
            "service": get("MessagingServiceSid"),
            "body": None if hidden or not body else self._body_hashes(request, body, keyed_hash),
            "media": None if get("ContentSid") or get("SendAsMms") else media,
        }

    @staticmethod
    def _body_hashes(request: Request[Any], body: str, keyed_hash: KeyedHash) -> list[str | None]:
        """Return the hash of the body, and that of the body that Twilio lists if it applies smart encoding."""
        encoded = keyed_hash(_normalize(smart_encode(body))) if _may_be_smart_encoded(request) else None
        return [keyed_hash(_normalize(body)), encoded]

    def listing(self, request: Request[Any], expected: Mapping[str, Any]) -> Listing[Any]:
        sender = request.get("From") or ""
        sender_is_known = sender.startswith("+") and not expected["service"]
        return Messages.list(to=request.get("To"), from_=sender if sender_is_known else None)

    def match(self, record: Record, expected: Mapping[str, Any], keyed_hash: KeyedHash) -> Match:
        message = Message(record)
        if message.direction != "outbound-api" or keyed_hash(message.to or "") != expected["to"]:
            return Match.NONE
        if expected["service"] and message.messaging_service_sid != expected["service"]:
            return Match.NONE
        # Twilio may not have chosen the sender of a messaging service yet.
        sender_is_pending = expected["service"] and not message.from_
        if expected["from"] and not sender_is_pending and keyed_hash(message.from_ or "") != expected["from"]:
            return Match.NONE
        if expected["body"] and message.body:
            whole, encoded = expected["body"]
            listed = {keyed_hash(_normalize(body)) for body in (message.body, message.body.removeprefix(TRIAL_PREFIX))}
            return Match.EXACT if whole in listed else Match.partial_if(encoded in listed)
        if expected["body"]:  # an account can have Twilio redact message bodies at once
            return Match.PARTIAL
        return Match.partial_if(expected["media"] is None or message.num_media in (None, expected["media"]))


class CallMatcher:
    """The matcher for calls: same recipient and same caller. The record of a call has no TwiML and no URL."""

    record_type = "call"
    on_unresolved: OnUnresolved = "resend"
    fetch = staticmethod(Calls.fetch)

    def fingerprint(self, request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
        return {"to": keyed_hash(request.get("To") or ""), "from": keyed_hash(request.get("From") or "")}

    def listing(self, request: Request[Any], expected: Mapping[str, Any]) -> Listing[Any]:
        return Calls.list(to=request.get("To"))

    def match(self, record: Record, expected: Mapping[str, Any], keyed_hash: KeyedHash) -> Match:
        call = Call(record)
        same_numbers = keyed_hash(call.to or "") == expected["to"] and keyed_hash(call.from_ or "") == expected["from"]
        return Match.exact_if(same_numbers and call.direction == "outbound-api")


class NumberMatcher:
    """The matcher for phone numbers: same number, or same area code if the request names only that."""

    record_type = "phone number"
    on_unresolved: OnUnresolved = "fail"
    fetch = staticmethod(IncomingPhoneNumbers.fetch)

    def fingerprint(self, request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
        # Not hashed, so that a retry can purchase the same number without a search. It is no person's phone number.
        return {"number": request.get("PhoneNumber"), "area": request.get("AreaCode")}

    def listing(self, request: Request[Any], expected: Mapping[str, Any]) -> Listing[Any]:
        return IncomingPhoneNumbers.list(phone_number=expected["number"])

    def match(self, record: Record, expected: Mapping[str, Any], keyed_hash: KeyedHash) -> Match:
        number = IncomingPhoneNumber(record).phone_number or ""
        if expected["number"]:
            return Match.exact_if(number == expected["number"])
        return Match.partial_if(number.startswith(f"+1{expected['area']}"))


class AccountMatcher:
    """The matcher for subaccounts: same name."""

    record_type = "account"
    on_unresolved: OnUnresolved = "fail"
    fetch = staticmethod(Accounts.fetch)

    def fingerprint(self, request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
        name = request.get("FriendlyName")
        return {"name": keyed_hash(name) if name else None}

    def listing(self, request: Request[Any], expected: Mapping[str, Any]) -> Listing[Any]:
        return Accounts.list(friendly_name=request.get("FriendlyName"))

    def match(self, record: Record, expected: Mapping[str, Any], keyed_hash: KeyedHash) -> Match:
        if not expected["name"]:
            return Match.PARTIAL
        return Match.exact_if(keyed_hash(Account(record).friendly_name or "") == expected["name"])


MATCHERS: Mapping[Any, Matcher] = {
    Message: MessageMatcher(),
    Call: CallMatcher(),
    IncomingPhoneNumber: NumberMatcher(),
    Account: AccountMatcher(),
}
"""The matcher of each record type that must not be created twice."""


def matcher_for(request: Request[Any]) -> Matcher:
    """Return the matcher for the record that a request creates.

    :raises BadParameter: When the request creates no record of a type in :data:`MATCHERS`.
    """
    matcher = None if request.idempotent else MATCHERS.get(request.parser)
    if matcher is None:
        raise BadParameter(
            "request",
            f"({request}) cannot be sent exactly once",
            "pass a request that creates a message, call, phone number or account",
        )
    return matcher


def default_on_unresolved(request: Request[Any]) -> OnUnresolved:
    """Return what to do by default if Twilio lists no matching record."""
    # Twilio may list the message under an obfuscated recipient, so its absence proves nothing.
    is_obfuscated = request.get("AddressRetention") == "obfuscate"
    return "fail" if is_obfuscated else matcher_for(request).on_unresolved


def fingerprint(request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
    """Return the fingerprint of a request, as JSON: the properties that :func:`match_content` compares."""
    return {"key_id": keyed_hash.key_id, **matcher_for(request).fingerprint(request, keyed_hash)}


class HasDateCreated(Record):
    """A record of any type, of which only the creation time is read."""

    date_created = Field(datetime)


def is_created_within(record: Record, intent: Intent, clock_offset: float | None = None) -> bool:
    """Return whether a record was created while the request of an intent was in flight.

    :param clock_offset: Seconds by which Twilio's clock is ahead of this machine's; None if unknown.
    """
    # An account can own a phone number only once, so the creation time of its record does not matter.
    return bool(intent.fingerprint.get("number")) or intent.covers(created_at(record), clock_offset)


def match_content(request: Request[Any], record: Record, intent: Intent, keyed_hash: KeyedHash) -> Match:
    """Return how well a record matches an intent, regardless of when it was created.

    After the secret has changed, the stored hashes cannot be compared. The record is then compared with the current
    request.
    """
    matcher = matcher_for(request)
    if intent.fingerprint["key_id"] == keyed_hash.key_id:
        return matcher.match(record, intent.fingerprint, keyed_hash)
    return min(matcher.match(record, fingerprint(request, keyed_hash), keyed_hash), Match.PARTIAL)


def cannot_exclude(
    request: Request[Any],
    record: Record,
    intent: Intent,
    keyed_hash: KeyedHash,
    *,
    since: datetime,
    clock_offset: float | None = None,
) -> bool:
    """Return whether a record may be the result although it does not match: its absence would not be certain.

    There are two reasons. The clock of the process that sent the request is unknown, and only the creation time does
    not match. Or the secret has changed, and only the body does not match: a template may render differently than it
    did for the request that was sent.

    :param since: Time before which the request cannot have been sent, by Twilio's clock.
    """
    created = created_at(record)
    if intent.clock_offset is None:
        if created is not None and created < since:
            return False
    elif not is_created_within(record, intent, clock_offset):
        return False
    if intent.fingerprint["key_id"] == keyed_hash.key_id:
        return bool(match_content(request, record, intent, keyed_hash))
    current = fingerprint(request, keyed_hash)
    any_body = {**current, "body": None} if "body" in current else current
    return bool(matcher_for(request).match(record, any_body, keyed_hash))


def created_at(record: Record) -> datetime | None:
    """Return the creation time of a record of any type; None if it is unknown."""
    return HasDateCreated(record).date_created

"""What a request leaves at Twilio, and how its record is found again."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_twilio.api.accounts import Account, Accounts
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.runtime.idempotency.intent import Intent

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings

OnUnresolved = Literal["resend", "fail"]


class KeyedHash:
    """Hash values with a secret, so that equal ones are known without being told."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.key_id = self("")[:8]
        """Tells whether two seals are of one secret."""

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyedHash:
        return cls(settings.auth.secret)

    def __call__(self, value: str) -> str:
        return hmac.new(self._secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]

    def json(self, value: Any) -> str:
        return self(json.dumps(value, sort_keys=True))


class Matcher(Protocol):
    """Say, for one kind of record, how what a request has made is found again."""

    on_unresolved: OnUnresolved

    def fingerprint(self, request: Request[Any], seal: KeyedHash) -> dict[str, Any]:
        """Describe what the request makes, as JSON, numbers and bodies sealed."""

    def listing(self, request: Request[Any], sought: Mapping[str, Any]) -> Listing[Any]:
        """Give the list it is found in: never filtered by what Twilio may not know yet."""

    def match(self, record: Record, sought: Mapping[str, Any], seal: KeyedHash) -> int:
        """Tell how well a record fits, whenever it was made: 0 not, 1 as far as can be compared, 2 exactly."""

    def fetch(self, sid: str) -> Request[Any]: ...


TRIAL_PREFIX = "Sent from your Twilio trial account - "


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.removeprefix(TRIAL_PREFIX)).strip()


def _letters(text: str) -> str:
    """Give what Twilio leaves as it is: smart encoding changes quotes, dashes, dots and spaces."""
    return "".join(c for c in unicodedata.normalize("NFKC", text.removeprefix(TRIAL_PREFIX)) if c.isalnum())


def _values(request: Request[Any], name: str) -> list[str]:
    return [value for key, value in request.data if key == name]


class MessageMatcher:
    """A message: same recipient, sender or service, and body; where that can't be compared, the number of media."""

    on_unresolved: OnUnresolved = "resend"
    fetch = staticmethod(Messages.fetch)

    def fingerprint(self, request: Request[Any], seal: KeyedHash) -> dict[str, Any]:
        get, media = request.get, len(_values(request, "MediaUrl"))
        body, sender = get("Body"), get("From")
        hidden = get("ContentSid") or get("ShortenUrls") == "true" or get("ContentRetention") == "discard"
        return {
            "to": seal(get("To") or ""),
            "from": seal(sender) if sender else None,
            "service": get("MessagingServiceSid"),
            "body": None if hidden or not body else [seal(_plain(body)), seal(_letters(body))],
            "media": None if get("ContentSid") or get("SendAsMms") else media,
        }

    def listing(self, request: Request[Any], sought: Mapping[str, Any]) -> Listing[Any]:
        sender = request.get("From") or ""
        known = sender.startswith("+") and not sought["service"]
        return Messages.list(to=request.get("To"), from_=sender if known else None)

    def match(self, record: Record, sought: Mapping[str, Any], seal: KeyedHash) -> int:
        message = Message(record)
        if message.direction != "outbound-api" or seal(message.to or "") != sought["to"]:
            return 0
        if sought["service"] and message.messaging_service_sid != sought["service"]:
            return 0
        # Twilio may not have chosen the sender of a messaging service yet.
        waits = sought["service"] and not message.from_
        if sought["from"] and not waits and seal(message.from_ or "") != sought["from"]:
            return 0
        if sought["body"] and message.body:
            exact, letters = sought["body"]
            return 2 if seal(_plain(message.body)) == exact else int(seal(_letters(message.body)) == letters)
        if sought["body"]:  # the account may have Twilio redact bodies at once
            return 1
        return int(sought["media"] is None or message.num_media in (None, sought["media"]))


class CallMatcher:
    """A call: same recipient and caller. Its record names no TwiML and no address."""

    on_unresolved: OnUnresolved = "resend"
    fetch = staticmethod(Calls.fetch)

    def fingerprint(self, request: Request[Any], seal: KeyedHash) -> dict[str, Any]:
        return {"to": seal(request.get("To") or ""), "from": seal(request.get("From") or "")}

    def listing(self, request: Request[Any], sought: Mapping[str, Any]) -> Listing[Any]:
        return Calls.list(to=request.get("To"))

    def match(self, record: Record, sought: Mapping[str, Any], seal: KeyedHash) -> int:
        call = Call(record)
        same = seal(call.to or "") == sought["to"] and seal(call.from_ or "") == sought["from"]
        return 2 if same and call.direction == "outbound-api" else 0


class NumberMatcher:
    """A number: the very one that the request names; one of the area where it names only that."""

    on_unresolved: OnUnresolved = "fail"
    fetch = staticmethod(IncomingPhoneNumbers.fetch)

    def fingerprint(self, request: Request[Any], seal: KeyedHash) -> dict[str, Any]:
        # Unsealed, so that a search can be left out on a retry: this number is to be ours, and nobody's phone.
        return {"number": request.get("PhoneNumber"), "area": request.get("AreaCode")}

    def listing(self, request: Request[Any], sought: Mapping[str, Any]) -> Listing[Any]:
        return IncomingPhoneNumbers.list(phone_number=sought["number"])

    def match(self, record: Record, sought: Mapping[str, Any], seal: KeyedHash) -> int:
        number = IncomingPhoneNumber(record).phone_number or ""
        if sought["number"]:
            return 2 if number == sought["number"] else 0
        return int(number.startswith(f"+1{sought['area']}"))


class AccountMatcher:
    """A subaccount: same name."""

    on_unresolved: OnUnresolved = "fail"
    fetch = staticmethod(Accounts.fetch)

    def fingerprint(self, request: Request[Any], seal: KeyedHash) -> dict[str, Any]:
        name = request.get("FriendlyName")
        return {"name": seal(name) if name else None}

    def listing(self, request: Request[Any], sought: Mapping[str, Any]) -> Listing[Any]:
        return Accounts.list(friendly_name=request.get("FriendlyName"))

    def match(self, record: Record, sought: Mapping[str, Any], seal: KeyedHash) -> int:
        if not sought["name"]:
            return 1
        return 2 if seal(Account(record).friendly_name or "") == sought["name"] else 0


MATCHERS: Mapping[Any, Matcher] = {
    Message: MessageMatcher(),
    Call: CallMatcher(),
    IncomingPhoneNumber: NumberMatcher(),
    Account: AccountMatcher(),
}


def matcher_for(request: Request[Any]) -> Matcher:
    """Give the rules for a request that creates something."""
    rules = None if request.idempotent else MATCHERS.get(request.parser)
    if rules is None:
        raise BadParameter(
            "request", f"({request}) can't be sent once", "give the creation of a message, call, number or account"
        )
    return rules


def fingerprint(request: Request[Any], keyed_hash: KeyedHash) -> dict[str, Any]:
    """Describe what a request makes at Twilio, as JSON, to find it again: :func:`fits`."""
    return {"key_id": keyed_hash.key_id, **matcher_for(request).fingerprint(request, keyed_hash)}


class HasDateCreated(Record):
    """Read when a record of any kind was made."""

    date_created = Field(datetime)


def match(request: Request[Any], record: Record, intent: Intent, keyed_hash: KeyedHash) -> int:
    """Tell how well a record fits an intent: 0 not, 1 as far as can be compared, 2 exactly."""
    rules = matcher_for(request)
    if not intent.fingerprint.get("number") and not intent.covers(created_at(record)):
        return 0
    wanted = intent.fingerprint
    if wanted["key_id"] != keyed_hash.key_id:  # the secret was changed meanwhile: compare by what is asked for now
        wanted = fingerprint(request, keyed_hash)
        if "body" in wanted:
            wanted["body"] = None
    return rules.match(record, wanted, keyed_hash)


def created_at(record: Record) -> datetime | None:
    return HasDateCreated(record).date_created

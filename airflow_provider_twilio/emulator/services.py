"""Messaging services and their sender pools: https://www.twilio.com/docs/messaging/api/service-resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.params import Address, Params
from airflow_provider_twilio.emulator.shelf import Shelf
from airflow_provider_twilio.emulator.wire import Answer, Refused, iso, not_found

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.numbers import Number
    from airflow_provider_twilio.emulator.world import Account, Call

_FLAGS = (
    "sticky_sender", "mms_converter", "smart_encoding", "fallback_to_long_code", "area_code_geomatch",
    "use_inbound_webhook_on_number", "synchronous_validation",
)  # fmt: skip
_URLS = ("inbound_request_url", "fallback_url", "status_callback")
_METHODS = ("inbound_method", "fallback_method")
_DEFAULTS: dict[str, Any] = {
    **{name: name not in ("synchronous_validation", "use_inbound_webhook_on_number") for name in _FLAGS},
    **dict.fromkeys(_URLS),
    **dict.fromkeys(_METHODS, "POST"),
    "scan_message_content": "inherit",
    "validity_period": 36_000,
    "usecase": "undeclared",
}


@dataclass(slots=True, eq=False)
class Member:
    """Hold a number's place in a sender pool."""

    sid: str
    seq: int
    created: float
    key: float


@dataclass(slots=True, eq=False)
class Service:
    """Hold a messaging service."""

    sid: str
    seq: int
    created: float
    account_sid: str
    friendly_name: str
    key: float
    updated: float
    settings: dict[str, Any] = field(default_factory=_DEFAULTS.copy)
    pool: Shelf[Member] = field(default_factory=Shelf)
    """Its members carry the SIDs of the account's numbers."""
    turn: int = 0

    def addresses(self, number: Number) -> list[Address]:
        """Give the webhook for messages that come in at one of its numbers, then the one to ask if it fails."""
        settings = self.settings
        if settings["use_inbound_webhook_on_number"]:
            return number.addresses("sms")
        first = settings["inbound_request_url"], settings["inbound_method"]
        second = settings["fallback_url"], settings["fallback_method"]
        return [address for address in (first, second) if address[0]] if first[0] else []

    def senders(self, account: Account) -> list[str]:
        numbers = [account.numbers.get(member.sid) for member in self.pool]
        return [number.phone_number for number in numbers if number is not None]

    def check(self, account: Account) -> None:
        if not self.senders(account):
            raise Refused(21703, "The Messaging Service does not have a phone number available to send a message.")

    def sender_for(self, account: Account, to: str) -> str:
        """Choose a sender: always the same one for a recipient, as a sticky sender is."""
        pool = self.senders(account)
        chosen = pool[sum(to.encode()) % len(pool)]
        return f"whatsapp:{chosen}" if to.startswith("whatsapp:") else chosen


def _render(service: Service) -> dict[str, Any]:
    here = f"https://messaging.twilio.com/v1/Services/{service.sid}"
    return {
        "account_sid": service.account_sid,
        "friendly_name": service.friendly_name,
        "sid": service.sid,
        "date_created": iso(int(service.created)),
        "date_updated": iso(int(service.updated)),
        **service.settings,
        "us_app_to_person_registered": False,
        "links": {
            "phone_numbers": f"{here}/PhoneNumbers",
            "short_codes": f"{here}/ShortCodes",
            "alpha_senders": f"{here}/AlphaSenders",
            "messages": f"{here}/Messages",
            "us_app_to_person": f"{here}/Compliance/Usa2p",
            "us_app_to_person_usecases": f"{here}/Compliance/Usa2p/Usecases",
            "channel_senders": f"{here}/ChannelSenders",
            "destination_alpha_senders": f"{here}/DestinationAlphaSenders",
        },
        "url": here,
    }


def _wire(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _change(service: Service, form: Params) -> None:
    settings: dict[str, Any] = {}
    for name in _FLAGS:
        if (flag := form.flag(_wire(name))) is not None:
            settings[name] = flag
    for name in _URLS:
        if _wire(name) in form:
            settings[name] = form.url(_wire(name))
    for name in _METHODS:
        if (method := form.choice(_wire(name), ("GET", "POST"))) is not None:
            settings[name] = method
    if (scan := form.choice("ScanMessageContent", ("inherit", "enable", "disable"))) is not None:
        settings["scan_message_content"] = scan
    if (validity := form.integer("ValidityPeriod", 1, 36_000)) is not None:
        settings["validity_period"] = validity
    if (usecase := form.text("Usecase")) is not None:
        settings["usecase"] = usecase
    service.settings.update(settings)
    service.friendly_name = form.text("FriendlyName") or service.friendly_name


def create(call: Call) -> Answer:
    """POST Services."""
    name = call.form.text("FriendlyName")
    if name is None:
        raise Refused(20001, "Missing required parameter FriendlyName in the post body")
    if len(name) > 64:
        raise Refused(20001, "FriendlyName can have at most 64 characters")
    service = Service(call.world.sid("MG"), call.world.next(), call.now, call.account.sid, name, call.now, call.now)
    _change(service, call.form)
    call.account.services.add(service)
    return Answer(_render(service), 201, sid=service.sid)


def listing(call: Call) -> Answer:
    """GET Services."""
    return paged(call, "services", call.account.services, [], _render)


def fetch(call: Call) -> Answer:
    """GET Services/{Sid}."""
    return Answer(_render(call.find(call.account.services, call.args[0])))


def update(call: Call) -> Answer:
    """POST Services/{Sid}."""
    service = call.find(call.account.services, call.args[0])
    _change(service, call.form)
    service.updated = call.now
    return Answer(_render(service))


def delete(call: Call) -> Answer:
    """DELETE Services/{Sid}."""
    call.account.services.remove(call.find(call.account.services, call.args[0]))
    return Answer(status=204)


def _render_member(call: Call, service: Service, member: Member) -> dict[str, Any]:
    number = call.account.numbers.get(member.sid)
    able = number.capabilities if number else {}
    return {
        "sid": member.sid,
        "account_sid": call.account.sid,
        "service_sid": service.sid,
        "date_created": iso(int(member.created)),
        "date_updated": iso(int(member.created)),
        "phone_number": number.phone_number if number else None,
        "country_code": "US",
        "capabilities": [name for name, wire in (("Voice", "voice"), ("SMS", "sms"), ("MMS", "mms")) if able.get(wire)],
        "url": f"https://messaging.twilio.com/v1/Services/{service.sid}/PhoneNumbers/{member.sid}",
    }


def add_number(call: Call) -> Answer:
    """POST Services/{Sid}/PhoneNumbers."""
    service = call.find(call.account.services, call.args[0])
    number_sid = call.form.sid("PhoneNumberSid", "PN")
    if number_sid is None:
        raise Refused(20001, "Missing required parameter PhoneNumberSid in the post body")
    if number_sid not in call.account.numbers:
        raise Refused(21701, "Phone Number not found", 404)
    if any(number_sid in other.pool for other in call.account.services):
        raise Refused(21710, "Phone Number or Short Code is already in the Messaging Service.", 409)
    member = Member(number_sid, call.world.next(), call.now, call.now)
    service.pool.add(member)
    return Answer(_render_member(call, service, member), 201, sid=number_sid)


def list_numbers(call: Call) -> Answer:
    """GET Services/{Sid}/PhoneNumbers."""
    service = call.find(call.account.services, call.args[0])
    return paged(call, "phone_numbers", service.pool, [], lambda member: _render_member(call, service, member))


def _member(call: Call) -> tuple[Service, Member]:
    service = call.find(call.account.services, call.args[0])
    member = service.pool.get(call.args[1])
    if member is None:
        raise not_found(call.path)
    return service, member


def fetch_number(call: Call) -> Answer:
    """GET Services/{Sid}/PhoneNumbers/{Sid}."""
    return Answer(_render_member(call, *_member(call)))


def remove_number(call: Call) -> Answer:
    """DELETE Services/{Sid}/PhoneNumbers/{Sid}."""
    service, member = _member(call)
    service.pool.remove(member)
    return Answer(status=204)


ROUTES = {
    ("POST", "Services"): create,
    ("GET", "Services"): listing,
    ("GET", "Services/{}"): fetch,
    ("POST", "Services/{}"): update,
    ("DELETE", "Services/{}"): delete,
    ("POST", "Services/{}/PhoneNumbers"): add_number,
    ("GET", "Services/{}/PhoneNumbers"): list_numbers,
    ("GET", "Services/{}/PhoneNumbers/{}"): fetch_number,
    ("DELETE", "Services/{}/PhoneNumbers/{}"): remove_number,
}

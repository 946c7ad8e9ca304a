"""Numbers: those an account owns, and those it can buy.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource and
https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import credentials, inventory
from airflow_provider_twilio.emulator.paging import paged, read_paging
from airflow_provider_twilio.emulator.params import Address, Params, e164
from airflow_provider_twilio.emulator.wire import Answer, Refused, date, not_found

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.world import Account, Call, World

MONTHLY = {"local": 1.15, "toll_free": 2.15, "mobile": 1.15}
MONTH = 30 * 86_400.0
SEARCHED = 30
_URLS = ("sms_url", "sms_fallback_url", "voice_url", "voice_fallback_url", "status_callback")
_METHODS = (
    "sms_method", "sms_fallback_method", "voice_method", "voice_fallback_method", "status_callback_method",
)  # fmt: skip
_SIDS = {
    "sms_application_sid": "AP", "voice_application_sid": "AP", "trunk_sid": "TK", "identity_sid": "RI",
    "address_sid": "AD", "bundle_sid": "BU", "emergency_address_sid": "AD",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Number:
    """Hold a number and where its calls and messages go."""

    sid: str
    seq: int
    created: float
    account_sid: str
    phone_number: str
    friendly_name: str
    kind: str = "local"
    capabilities: dict[str, bool] = field(
        default_factory=lambda: {"voice": True, "sms": True, "mms": True, "fax": False}
    )
    settings: dict[str, Any] = field(default_factory=dict)
    updated: float = 0.0
    key: float = 0.0
    rent: float = 0.0
    address_requirements: str = "none"
    beta: bool = False

    segments = 1

    @property
    def category(self) -> str:
        """The usage category it counts in."""
        return f"phonenumbers-{self.kind.replace('_', '')}"

    def days(self, now: float) -> list[int]:
        """Give the days on which its rent was charged so far: a month ahead, each month."""
        months = 1 + int((now - self.created) // MONTH)
        return [int((self.created + month * MONTH) // 86_400) for month in range(months)]

    def addresses(self, kind: str) -> list[Address]:
        """Give the webhook for messages (``sms``) or calls (``voice``), then the one to ask if it fails."""
        settings = self.settings
        found = [
            (settings.get(f"{name}_url") or "", settings.get(f"{name}_method", "POST"))
            for name in (kind, f"{kind}_fallback")
        ]
        return [address for address in found if address[0]] if found[0][0] else []

    @property
    def price(self) -> float:
        return self.rent

    def charged(self, now: float) -> float:
        """Give what each of these days has cost."""
        return self.rent


def own(world: World, account: Account, phone_number: str, friendly_name: str | None = None) -> Number:
    """Give an account a number, bought or not."""
    now = world.clock.now()
    number = Number(
        sid=world.sid("PN"),
        seq=world.next(),
        created=now,
        account_sid=account.sid,
        phone_number=phone_number,
        friendly_name=friendly_name or _friendly(phone_number),
        updated=now,
        key=now,
    )
    account.numbers.add(number)
    return number


def _friendly(number: str) -> str:
    if number.startswith("+1") and len(number) == 12:
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


def render_of_kind(number: Number) -> dict[str, Any]:
    """Write a number as Twilio does below Local, Mobile and TollFree."""
    body = render(number)
    del body["type"]
    return body


def render(number: Number) -> dict[str, Any]:
    """Write a number as Twilio does: what is not set is ``""`` here and null there, as captured."""
    settings = number.settings
    return {
        "account_sid": number.account_sid,
        "address_requirements": number.address_requirements,
        "address_sid": settings.get("address_sid"),
        "api_version": VERSION,
        "beta": number.beta,
        "capabilities": dict(number.capabilities),
        "date_created": date(number.created),
        "date_updated": date(number.updated),
        "emergency_status": settings.get("emergency_status", "Inactive"),
        "emergency_address_sid": settings.get("emergency_address_sid"),
        "emergency_address_status": "unregistered",
        "friendly_name": number.friendly_name,
        "identity_sid": settings.get("identity_sid"),
        "origin": "twilio",
        "phone_number": number.phone_number,
        "sid": number.sid,
        "sms_application_sid": settings.get("sms_application_sid", ""),
        "sms_fallback_method": settings.get("sms_fallback_method", "POST"),
        "sms_fallback_url": settings.get("sms_fallback_url", ""),
        "sms_method": settings.get("sms_method", "POST"),
        "sms_url": settings.get("sms_url", ""),
        "status_callback": settings.get("status_callback", ""),
        "status_callback_method": settings.get("status_callback_method", "POST"),
        "trunk_sid": settings.get("trunk_sid"),
        "uri": f"/{VERSION}/Accounts/{number.account_sid}/IncomingPhoneNumbers/{number.sid}.json",
        "voice_application_sid": settings.get("voice_application_sid", ""),
        "voice_caller_id_lookup": settings.get("voice_caller_id_lookup", False),
        "voice_fallback_method": settings.get("voice_fallback_method", "POST"),
        "voice_fallback_url": settings.get("voice_fallback_url"),
        "voice_method": settings.get("voice_method", "POST"),
        "voice_url": settings.get("voice_url"),
        "bundle_sid": settings.get("bundle_sid"),
        "voice_receive_mode": settings.get("voice_receive_mode", "voice"),
        "status": "in-use",
        "type": number.kind.replace("_", " ") if number.kind == "toll_free" else number.kind,
    }


def _wire(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _settings(form: Params) -> dict[str, Any]:
    """Read what can be set on a number; an empty value takes a setting away."""
    settings: dict[str, Any] = {}
    for name in _URLS:
        if _wire(name) in form:
            settings[name] = form.url(_wire(name), 21502) or ""
    for name in _METHODS:
        if (method := form.choice(_wire(name), ("GET", "POST"), 21403)) is not None:
            settings[name] = method
    for name, kind in _SIDS.items():
        if _wire(name) in form:
            empty = "" if name.endswith("application_sid") else None
            settings[name] = form.sid(_wire(name), kind) or empty
    if (lookup := form.flag("VoiceCallerIdLookup")) is not None:
        settings["voice_caller_id_lookup"] = lookup
    if (emergency := form.choice("EmergencyStatus", ("Active", "Inactive"))) is not None:
        settings["emergency_status"] = emergency
    if (mode := form.choice("VoiceReceiveMode", ("voice", "fax"))) is not None:
        settings["voice_receive_mode"] = mode
    form.choice("ApiVersion", ("2010-04-01", "2008-08-01"))
    if len(form.text("FriendlyName") or "") > 64:
        raise Refused(20001, "FriendlyName can have at most 64 characters")
    return settings


# ---------------------------------------------------------------- buying


def create(call: Call) -> Answer:
    """POST IncomingPhoneNumbers."""
    return _buy(call, None)


def _buy(call: Call, kind: str | None) -> Answer:
    form = call.form
    given, area_code = form.text("PhoneNumber"), form.text("AreaCode")
    if given is None and (area_code is None or kind is not None):
        raise Refused(21421, "PhoneNumber is required" if kind else "PhoneNumber or AreaCode is required")
    number = None if given is None else e164(given)
    if given is not None and number is None:
        raise Refused(21421, f"PhoneNumber is invalid: {given}")
    settings = _settings(form)
    if call.test:
        phone_number = credentials.bought(number, area_code)
        record = Number(
            call.world.sid("PN"), 0, call.now, call.account.sid, phone_number, _friendly(phone_number),
            updated=call.now,
        )  # fmt: skip
    else:
        phone_number = number if number is not None else _in_area(call.world, area_code or "")
        record = _take(call, phone_number, kind)
    record.settings.update(settings)
    record.friendly_name = form.text("FriendlyName") or record.friendly_name
    if not call.test:
        call.account.numbers.add(record)
    return Answer(render_of_kind(record) if kind else render(record), 201, sid=record.sid)


def _in_area(world: World, code: str) -> str:
    if not re.fullmatch(r"[2-9][0-9]{2}", code):
        raise Refused(21451, f"Invalid area code: {code[:20]}")
    for country in ("US", "CA"):
        for area in inventory.COUNTRIES[country][1]:
            if area.code == code:
                for number in area.numbers():
                    if world.owner_of(number) is None:
                        return number
    raise Refused(21452, f"No phone numbers found in area code {code}")


def _take(call: Call, phone_number: str, kind: str | None) -> Number:
    found = inventory.area_of(phone_number)
    if found is None or call.world.owner_of(phone_number) is not None or (kind and found[1].kind != kind):
        raise Refused(21422, f"{phone_number} is not available.")
    area = found[1]
    if area.address != "none" and not call.form.text("AddressSid"):
        raise Refused(
            21631, f"Phone Number Requires an Address but the 'AddressSid' parameter was empty: {phone_number}"
        )
    return Number(
        call.world.sid("PN"),
        call.world.next(),
        call.now,
        call.account.sid,
        phone_number,
        _friendly(phone_number),
        inventory.KINDS[area.kind],
        {"voice": area.voice, "sms": area.sms, "mms": area.mms, "fax": area.fax},
        updated=call.now,
        key=call.now,
        rent=MONTHLY.get(inventory.KINDS[area.kind], 1.0),
        address_requirements=area.address,
        beta=area.beta,
    )


# ---------------------------------------------------------------- owning


def fetch(call: Call) -> Answer:
    """GET IncomingPhoneNumbers/{Sid}."""
    return Answer(render(call.find(call.account.numbers, call.args[0])))


def _list(call: Call, kind: str | None) -> Answer:
    query = call.query
    keep: list[Callable[[Number], bool]] = []
    if kind is not None:
        keep.append(lambda number: number.kind == inventory.KINDS[kind])
    if (beta := query.flag("Beta")) is not None:
        keep.append(lambda number: number.beta == beta)
    if (name := query.text("FriendlyName")) is not None:
        keep.append(lambda number: number.friendly_name == name)
    if (origin := query.choice("Origin", ("twilio", "hosted"))) is not None:
        keep.append(lambda number: origin == "twilio")
    if (partial := query.text("PhoneNumber")) is not None:
        found = inventory.pattern(re.sub(r"[\s().-]", "", partial))
        if found is None:
            raise Refused(20001, "PhoneNumber must be at most 16 digits, letters, * or %")
        keep.append(lambda number: found.match(number.phone_number) is not None)
    return paged(call, "incoming_phone_numbers", call.account.numbers, keep, render_of_kind if kind else render)


def listing(call: Call) -> Answer:
    """GET IncomingPhoneNumbers."""
    return _list(call, None)


def update(call: Call) -> Answer:
    """POST IncomingPhoneNumbers/{Sid}; with AccountSid the number goes to another account of the same owner."""
    number: Number = call.find(call.account.numbers, call.args[0])
    form = call.form
    settings = _settings(form)
    target_sid = form.text("AccountSid")
    if target_sid is not None and target_sid != number.account_sid:
        target = call.world.accounts.get(target_sid)
        asking = call.world.accounts.get(call.identity.account_sid)
        if asking is None or not asking.is_main or target is None or target.owner_sid != asking.sid:
            raise Refused(21474, "The number can't be transferred to this account")
        if target.status == "closed":
            raise Refused(21474, "The number can't be transferred to a closed account")
        call.account.numbers.remove(number)
        for service in call.account.services:
            member = service.pool.get(number.sid)
            if member is not None:
                service.pool.remove(member)
        number.account_sid = target.sid
        target.numbers.add(number)
    number.settings.update(settings)
    number.friendly_name = form.text("FriendlyName") or number.friendly_name
    number.updated = call.now
    return Answer(render(number))


def delete(call: Call) -> Answer:
    """DELETE IncomingPhoneNumbers/{Sid}: release it; it can be bought again."""
    number: Number = call.find(call.account.numbers, call.args[0])
    call.account.drop(call.account.numbers, number, call.now)
    for service in call.account.services:
        member = service.pool.get(number.sid)
        if member is not None:
            service.pool.remove(member)
    return Answer(status=204)


# ---------------------------------------------------------------- searching


def _country(call: Call) -> tuple[str, tuple[inventory.Area, ...]]:
    found = inventory.COUNTRIES.get(call.args[0])
    if found is None:
        raise not_found(call.path)
    return found


def _render_country(call: Call, code: str) -> dict[str, Any]:
    name, areas = inventory.COUNTRIES[code]
    base = f"{call.account.uri}/AvailablePhoneNumbers/{code}"
    kinds = [kind for kind in inventory.KINDS if any(area.kind == kind for area in areas)]
    return {
        "country_code": code,
        "country": name,
        "uri": f"{base}.json",
        "beta": False,
        "subresource_uris": {inventory.KINDS[kind]: f"{base}/{kind}.json" for kind in kinds},
    }


def countries(call: Call) -> Answer:
    """GET AvailablePhoneNumbers."""
    read_paging(call)
    body = [_render_country(call, code) for code in inventory.COUNTRIES]
    return Answer({"countries": body, "uri": call.path})


def country(call: Call) -> Answer:
    """GET AvailablePhoneNumbers/{CountryCode}."""
    _country(call)
    return Answer(_render_country(call, call.args[0]))


def _search(call: Call, kind: str) -> Answer:
    """GET AvailablePhoneNumbers/{CountryCode}/{Kind}."""
    _, areas = _country(call)
    if not any(area.kind == kind for area in areas):
        raise not_found(call.path)
    wanted = _area_filter(call, call.args[0])
    contains = None
    if (given := call.query.text("Contains")) is not None:
        contains = inventory.pattern(given)
        if contains is None or not 2 <= len(given) <= 16:
            raise Refused(20001, "Contains must be 2 to 16 digits, letters, * or %")
    size = read_paging(call)[0] if call.query.text("PageSize") else SEARCHED
    owned = {number.phone_number for account in call.world.accounts for number in account.numbers}
    found: list[dict[str, Any]] = []
    for area in areas:
        if area.kind != kind or not wanted(area):
            continue
        for number in area.numbers():
            if len(found) == size:
                break
            if number not in owned and (contains is None or contains.match(number)):
                found.append(inventory.render(call.args[0], area, number, _friendly(number)))
    return Answer({"available_phone_numbers": found, "uri": call.path})


def _area_filter(call: Call, country_code: str) -> Callable[[inventory.Area], bool]:
    """Read the filters that hold for all numbers of an area alike."""
    query = call.query
    tests: list[Callable[[inventory.Area], bool]] = []
    if (code := query.text("AreaCode")) is not None:
        if not re.fullmatch(r"[0-9]{3}", code):
            raise Refused(21451, f"Invalid area code: {code[:20]}")
        tests.append(lambda area: area.code == code)
    for name, attribute in (
        ("SmsEnabled", "sms"),
        ("MmsEnabled", "mms"),
        ("VoiceEnabled", "voice"),
        ("FaxEnabled", "fax"),
    ):
        if (flag := query.flag(name)) is not None:
            tests.append(lambda area, attribute=attribute, flag=flag: getattr(area, attribute) is flag)  # type: ignore[misc]
    for name, excluded in (
        ("ExcludeAllAddressRequired", ("any", "local", "foreign")),
        ("ExcludeLocalAddressRequired", ("local",)),
        ("ExcludeForeignAddressRequired", ("foreign",)),
    ):
        if query.flag(name):
            tests.append(lambda area, excluded=excluded: area.address not in excluded)  # type: ignore[misc]
    if query.flag("Beta") is False:
        tests.append(lambda area: not area.beta)
    for name, attribute in (
        ("InPostalCode", "postal_code"), ("InRegion", "region"), ("InRateCenter", "rate_center"), ("InLata", "lata"),
        ("InLocality", "locality"),
    ):  # fmt: skip
        if (text := query.text(name)) is not None:
            tests.append(_is(attribute, text))
    near = _near(query)
    miles = query.number("Distance", 0, 500) or 25.0
    if near is not None:
        tests.append(
            lambda area: (
                area.latitude is not None
                and area.longitude is not None
                and inventory.distance(near, (area.latitude, area.longitude)) <= miles
            )
        )
    return lambda area: all(test(area) for test in tests)


def _is(attribute: str, text: str) -> Callable[[inventory.Area], bool]:
    return lambda area: (getattr(area, attribute) or "").lower() == text.lower()


def _near(query: Params) -> tuple[float, float] | None:
    if (place := query.text("NearLatLong")) is not None:
        match = re.fullmatch(r"(-?[0-9.]{1,20}),\s?(-?[0-9.]{1,20})", place)
        try:
            if match is not None and abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180:
                return float(match[1]), float(match[2])
        except ValueError:
            pass
        raise Refused(20001, "NearLatLong must be a latitude and a longitude")
    if (number := query.text("NearNumber")) is not None:
        # Only those of North America begin with an area code.
        american = re.fullmatch(r"\+1([0-9]{3})[0-9]{7}", e164(number) or "")
        code = american[1] if american else None
        for _, areas in inventory.COUNTRIES.values():
            for area in areas:
                if area.code == code and area.latitude is not None and area.longitude is not None:
                    return area.latitude, area.longitude
        raise Refused(20001, f"Nothing is known near {number[:20]}")
    return None


def _bound(action: Callable[[Call, str], Answer], kind: str) -> Callable[[Call], Answer]:
    return lambda call: action(call, kind)


ROUTES: dict[tuple[str, str], Callable[[Call], Answer]] = {
    ("POST", "IncomingPhoneNumbers"): create,
    ("GET", "IncomingPhoneNumbers"): listing,
    ("GET", "IncomingPhoneNumbers/{}"): fetch,
    ("POST", "IncomingPhoneNumbers/{}"): update,
    ("DELETE", "IncomingPhoneNumbers/{}"): delete,
    ("GET", "AvailablePhoneNumbers"): countries,
    ("GET", "AvailablePhoneNumbers/{}"): country,
    **{("POST", f"IncomingPhoneNumbers/{kind}"): _bound(_buy, kind) for kind in ("Local", "Mobile", "TollFree")},
    **{("GET", f"IncomingPhoneNumbers/{kind}"): _bound(_list, kind) for kind in ("Local", "Mobile", "TollFree")},
    **{("GET", f"AvailablePhoneNumbers/{{}}/{kind}"): _bound(_search, kind) for kind in inventory.KINDS},
}

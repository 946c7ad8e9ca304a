"""Phone numbers of an account.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import inventory, test_credentials
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber, national_format
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.params import Params, e164
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, rfc2822_date, wire_name
from airflow_provider_twilio.emulator.state import State

MONTHLY_RENTS = {"local": 1.15, "toll_free": 2.15, "mobile": 1.15}
"""Rents of a month by number type, in USD."""
DEFAULT_RENT = 1.0  # USD
_URLS = ("sms_url", "sms_fallback_url", "voice_url", "voice_fallback_url", "status_callback")
_METHODS = (
    "sms_method", "sms_fallback_method", "voice_method", "voice_fallback_method", "status_callback_method",
)  # fmt: skip
_SIDS = {
    "sms_application_sid": "AP", "voice_application_sid": "AP", "trunk_sid": "TK", "identity_sid": "RI",
    "address_sid": "AD", "bundle_sid": "BU", "emergency_address_sid": "AD",
}  # fmt: skip


def _render_by_type(number: PhoneNumber) -> dict[str, Any]:
    """Return the JSON form of a phone number below Local, Mobile and TollFree."""
    body = render_phone_number(number)
    del body["type"]
    return body


def render_phone_number(number: PhoneNumber) -> dict[str, Any]:
    """Return the JSON form of a phone number.

    Missing settings are ``""`` or null, as captured from Twilio.
    """
    settings = number.settings
    return {
        "account_sid": number.account_sid,
        "address_requirements": number.address_requirements,
        "address_sid": settings.get("address_sid"),
        "api_version": VERSION,
        "beta": number.beta,
        "capabilities": dict(number.capabilities),
        "date_created": rfc2822_date(number.created),
        "date_updated": rfc2822_date(number.updated),
        "emergency_status": settings.get("emergency_status", "Inactive"),
        "emergency_address_sid": settings.get("emergency_address_sid"),
        "emergency_address_status": "registered" if settings.get("emergency_address_sid") else "unregistered",
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
        "type": number.type.replace("_", " ") if number.type == "toll_free" else number.type,
    }


def _parse_settings(form: Params) -> dict[str, Any]:
    """Return the settings in a form. An empty value removes a setting."""
    settings: dict[str, Any] = {}
    for name in _URLS:
        if wire_name(name) in form:
            settings[name] = form.url(wire_name(name), 21502) or ""
    for name in _METHODS:
        if (method := form.choice(wire_name(name), ("GET", "POST"), 21403)) is not None:
            settings[name] = method
    for name, prefix in _SIDS.items():
        if wire_name(name) in form:
            empty = "" if name.endswith("application_sid") else None
            settings[name] = form.sid(wire_name(name), prefix) or empty
    if (lookup := form.flag("VoiceCallerIdLookup")) is not None:
        settings["voice_caller_id_lookup"] = lookup
    if (emergency := form.choice("EmergencyStatus", ("Active", "Inactive"))) is not None:
        settings["emergency_status"] = emergency
    if (mode := form.choice("VoiceReceiveMode", ("voice", "fax"))) is not None:
        settings["voice_receive_mode"] = mode
    form.choice("ApiVersion", ("2010-04-01", "2008-08-01"))
    if len(form.text("FriendlyName") or "") > 64:
        raise ApiError(20001, "FriendlyName can have at most 64 characters")
    return settings


# ---------------------------------------------------------------- purchase


def create_phone_number(request: ApiRequest) -> Response:
    """Handle POST IncomingPhoneNumbers."""
    return _purchase(request, None)


def _purchase(request: ApiRequest, path: str | None) -> Response:
    """Purchase a phone number.

    :param path: The number type as in the path; None for any type.
    """
    form = request.form
    given, area_code = form.text("PhoneNumber"), form.text("AreaCode")
    if given is None and (area_code is None or path is not None):
        raise ApiError(21421, "PhoneNumber is required" if path else "PhoneNumber or AreaCode is required")
    number = None if given is None else e164(given)
    if given is not None and number is None:
        raise ApiError(21421, f"PhoneNumber is invalid: {given}")
    settings = _parse_settings(form)
    if request.is_test:
        phone_number = test_credentials.check_purchase(number, area_code)
        record = PhoneNumber(
            request.state.new_sid("PN"), 0, request.now, request.account.sid, phone_number,
            national_format(phone_number), updated=request.now,
        )  # fmt: skip
    else:
        phone_number = number if number is not None else _first_in_area(request.state, area_code or "")
        record = _build_phone_number(request, phone_number, path)
    record.settings.update(settings)
    record.friendly_name = form.text("FriendlyName") or record.friendly_name
    if not request.is_test:
        request.account.numbers.add(record)
    return Response(_render_by_type(record) if path else render_phone_number(record), 201, sid=record.sid)


def _first_in_area(state: State, code: str) -> str:
    """Return the first available phone number with an area code."""
    if not re.fullmatch(r"[2-9][0-9]{2}", code):
        raise ApiError(21451, f"Invalid area code: {code[:20]}")
    for country in ("US", "CA"):
        for area in inventory.COUNTRIES[country][1]:
            if area.code == code:
                for number in area.numbers():
                    if state.owner_of(number) is None:
                        return number
    raise ApiError(21452, f"No phone numbers found in area code {code}")


def _build_phone_number(request: ApiRequest, phone_number: str, path: str | None) -> PhoneNumber:
    """Return the record of a phone number to purchase.

    :raises ApiError: The number is not available, or requires an address.
    """
    found = inventory.area_of(phone_number)
    if found is None or request.state.owner_of(phone_number) is not None or (path and found[1].type != path):
        raise ApiError(21422, f"{phone_number} is not available.")
    area = found[1]
    if area.address != "none" and not request.form.text("AddressSid"):
        raise ApiError(
            21631, f"Phone Number Requires an Address but the 'AddressSid' parameter was empty: {phone_number}"
        )
    return PhoneNumber(
        request.state.new_sid("PN"),
        request.state.next_seq(),
        request.now,
        request.account.sid,
        phone_number,
        national_format(phone_number),
        inventory.NUMBER_TYPES[area.type],
        {"voice": area.voice, "sms": area.sms, "mms": area.mms, "fax": area.fax},
        updated=request.now,
        sort_key=request.now,
        rent=MONTHLY_RENTS.get(inventory.NUMBER_TYPES[area.type], DEFAULT_RENT),
        address_requirements=area.address,
        beta=area.beta,
    )


# ---------------------------------------------------------------- fetch, list, update, delete


def fetch_phone_number(request: ApiRequest) -> Response:
    """Handle GET IncomingPhoneNumbers/{Sid}."""
    return Response(render_phone_number(request.find(request.account.numbers, request.args[0])))


def _list(request: ApiRequest, path: str | None) -> Response:
    """List phone numbers.

    :param path: The number type as in the path; None for any type.
    """
    query = request.query
    filters: list[Callable[[PhoneNumber], bool]] = []
    if path is not None:
        filters.append(lambda number: number.type == inventory.NUMBER_TYPES[path])
    if (beta := query.flag("Beta")) is not None:
        filters.append(lambda number: number.beta == beta)
    if (name := query.text("FriendlyName")) is not None:
        filters.append(lambda number: number.friendly_name == name)
    if (origin := query.choice("Origin", ("twilio", "hosted"))) is not None:
        filters.append(lambda number: origin == "twilio")
    if (partial := query.text("PhoneNumber")) is not None:
        pattern = inventory.compile_filter(re.sub(r"[\s().-]", "", partial))
        if pattern is None:
            raise ApiError(20001, "PhoneNumber must be at most 16 digits, letters, * or %")
        filters.append(lambda number: pattern.match(number.phone_number) is not None)
    render = _render_by_type if path else render_phone_number
    return paginate(request, "incoming_phone_numbers", request.account.numbers, filters, render)


def list_phone_numbers(request: ApiRequest) -> Response:
    """Handle GET IncomingPhoneNumbers."""
    return _list(request, None)


def update_phone_number(request: ApiRequest) -> Response:
    """Handle POST IncomingPhoneNumbers/{Sid}.

    AccountSid transfers the number to another account of the same owner.
    """
    number: PhoneNumber = request.find(request.account.numbers, request.args[0])
    form = request.form
    settings = _parse_settings(form)
    target_sid = form.text("AccountSid")
    if target_sid is not None and target_sid != number.account_sid:
        target = request.state.accounts.get(target_sid)
        sender = request.state.accounts.get(request.identity.account_sid)
        if sender is None or not sender.is_main or target is None or target.owner_sid != sender.sid:
            raise ApiError(21474, "The number can't be transferred to this account")
        if target.status == "closed":
            raise ApiError(21474, "The number can't be transferred to a closed account")
        request.account.numbers.remove(number)
        _remove_from_pools(request.account, number)
        number.account_sid = target.sid
        target.numbers.add(number)
    number.settings.update(settings)
    number.friendly_name = form.text("FriendlyName") or number.friendly_name
    number.updated = request.now
    return Response(render_phone_number(number))


def delete_phone_number(request: ApiRequest) -> Response:
    """Handle DELETE IncomingPhoneNumbers/{Sid}.

    The number is then available for purchase again. Twilio does not document the error code of a number whose
    emergency address is still registered; 20409 stands for a conflict.
    """
    number: PhoneNumber = request.find(request.account.numbers, request.args[0])
    if number.settings.get("emergency_address_sid"):
        raise ApiError(20409, "Unregister the emergency address of the phone number before releasing it", 409)
    request.account.delete(request.account.numbers, number, request.now)
    _remove_from_pools(request.account, number)
    return Response(status=204)


def _remove_from_pools(account: Account, number: PhoneNumber) -> None:
    """Remove a phone number from the sender pools of an account's messaging services."""
    for service in account.services:
        member = service.pool.get(number.sid)
        if member is not None:
            service.pool.remove(member)


def _handler_for(handler: Callable[[ApiRequest, str], Response], type_: str) -> Callable[[ApiRequest], Response]:
    return lambda request: handler(request, type_)


_PATHS = ("Local", "Mobile", "TollFree")
ROUTES: dict[tuple[str, str], Callable[[ApiRequest], Response]] = {
    ("POST", "IncomingPhoneNumbers"): create_phone_number,
    ("GET", "IncomingPhoneNumbers"): list_phone_numbers,
    ("GET", "IncomingPhoneNumbers/{}"): fetch_phone_number,
    ("POST", "IncomingPhoneNumbers/{}"): update_phone_number,
    ("DELETE", "IncomingPhoneNumbers/{}"): delete_phone_number,
    **{("POST", f"IncomingPhoneNumbers/{path}"): _handler_for(_purchase, path) for path in _PATHS},
    **{("GET", f"IncomingPhoneNumbers/{path}"): _handler_for(_list, path) for path in _PATHS},
}

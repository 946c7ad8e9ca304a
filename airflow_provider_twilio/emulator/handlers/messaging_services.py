"""Messaging services and their sender pools.

https://www.twilio.com/docs/messaging/api/service-resource
"""

from __future__ import annotations

from typing import Any

from airflow_provider_twilio.emulator.models.messaging_service import (
    FLAGS,
    METHODS,
    URLS,
    MessagingService,
    PoolMember,
)
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, iso_date, not_found, wire_name


def _render_service(service: MessagingService) -> dict[str, Any]:
    url = f"https://messaging.twilio.com/v1/Services/{service.sid}"
    return {
        "account_sid": service.account_sid,
        "friendly_name": service.friendly_name,
        "sid": service.sid,
        "date_created": iso_date(int(service.created)),
        "date_updated": iso_date(int(service.updated)),
        **service.settings,
        "us_app_to_person_registered": False,
        "links": {
            "phone_numbers": f"{url}/PhoneNumbers",
            "short_codes": f"{url}/ShortCodes",
            "alpha_senders": f"{url}/AlphaSenders",
            "messages": f"{url}/Messages",
            "us_app_to_person": f"{url}/Compliance/Usa2p",
            "us_app_to_person_usecases": f"{url}/Compliance/Usa2p/Usecases",
            "channel_senders": f"{url}/ChannelSenders",
            "destination_alpha_senders": f"{url}/DestinationAlphaSenders",
        },
        "url": url,
    }


def _update_settings(service: MessagingService, form: Params) -> None:
    settings: dict[str, Any] = {}
    for name in FLAGS:
        if (flag := form.flag(wire_name(name))) is not None:
            settings[name] = flag
    for name in URLS:
        if wire_name(name) in form:
            settings[name] = form.url(wire_name(name))
    for name in METHODS:
        if (method := form.choice(wire_name(name), ("GET", "POST"))) is not None:
            settings[name] = method
    if (scan := form.choice("ScanMessageContent", ("inherit", "enable", "disable"))) is not None:
        settings["scan_message_content"] = scan
    if (validity := form.integer("ValidityPeriod", 1, 36_000)) is not None:
        settings["validity_period"] = validity
    if (usecase := form.text("Usecase")) is not None:
        settings["usecase"] = usecase
    service.settings.update(settings)
    service.friendly_name = form.text("FriendlyName") or service.friendly_name


def create_service(request: ApiRequest) -> Response:
    """Handle POST Services."""
    name = request.form.text("FriendlyName")
    if name is None:
        raise ApiError(20001, "Missing required parameter FriendlyName in the post body")
    if len(name) > 64:
        raise ApiError(20001, "FriendlyName can have at most 64 characters")
    service = MessagingService(
        request.state.new_sid("MG"),
        request.state.next_seq(),
        request.now,
        request.account.sid,
        name,
        request.now,
        request.now,
    )
    _update_settings(service, request.form)
    request.account.services.add(service)
    return Response(_render_service(service), 201, sid=service.sid)


def list_services(request: ApiRequest) -> Response:
    """Handle GET Services."""
    return paginate(request, "services", request.account.services, [], _render_service)


def fetch_service(request: ApiRequest) -> Response:
    """Handle GET Services/{Sid}."""
    return Response(_render_service(request.find(request.account.services, request.args[0])))


def update_service(request: ApiRequest) -> Response:
    """Handle POST Services/{Sid}."""
    service = request.find(request.account.services, request.args[0])
    _update_settings(service, request.form)
    service.updated = request.now
    return Response(_render_service(service))


def delete_service(request: ApiRequest) -> Response:
    """Handle DELETE Services/{Sid}."""
    request.account.services.remove(request.find(request.account.services, request.args[0]))
    return Response(status=204)


def _render_member(request: ApiRequest, service: MessagingService, member: PoolMember) -> dict[str, Any]:
    number = request.account.numbers.get(member.sid)
    capabilities = number.capabilities if number else {}
    return {
        "sid": member.sid,
        "account_sid": request.account.sid,
        "service_sid": service.sid,
        "date_created": iso_date(int(member.created)),
        "date_updated": iso_date(int(member.created)),
        "phone_number": number.phone_number if number else None,
        "country_code": "US",
        "capabilities": [
            name for name, key in (("Voice", "voice"), ("SMS", "sms"), ("MMS", "mms")) if capabilities.get(key)
        ],
        "url": f"https://messaging.twilio.com/v1/Services/{service.sid}/PhoneNumbers/{member.sid}",
    }


def create_pool_member(request: ApiRequest) -> Response:
    """Handle POST Services/{Sid}/PhoneNumbers."""
    service = request.find(request.account.services, request.args[0])
    number_sid = request.form.sid("PhoneNumberSid", "PN")
    if number_sid is None:
        raise ApiError(20001, "Missing required parameter PhoneNumberSid in the post body")
    if number_sid not in request.account.numbers:
        raise ApiError(21701, "Phone Number not found", 404)
    if number_sid in service.pool:
        raise ApiError(21710, "Phone Number or Short Code is already in the Messaging Service.", 409)
    if any(number_sid in other.pool for other in request.account.services):
        raise ApiError(21712, "Phone Number or Short Code is associated with another Messaging Service.", 409)
    member = PoolMember(number_sid, request.state.next_seq(), request.now, request.now)
    service.pool.add(member)
    return Response(_render_member(request, service, member), 201, sid=number_sid)


def list_pool_members(request: ApiRequest) -> Response:
    """Handle GET Services/{Sid}/PhoneNumbers."""
    service = request.find(request.account.services, request.args[0])
    return paginate(request, "phone_numbers", service.pool, [], lambda member: _render_member(request, service, member))


def _find_pool_member(request: ApiRequest) -> tuple[MessagingService, PoolMember]:
    service = request.find(request.account.services, request.args[0])
    member = service.pool.get(request.args[1])
    if member is None:
        raise not_found(request.path)
    return service, member


def fetch_pool_member(request: ApiRequest) -> Response:
    """Handle GET Services/{Sid}/PhoneNumbers/{Sid}."""
    return Response(_render_member(request, *_find_pool_member(request)))


def delete_pool_member(request: ApiRequest) -> Response:
    """Handle DELETE Services/{Sid}/PhoneNumbers/{Sid}."""
    service, member = _find_pool_member(request)
    service.pool.remove(member)
    return Response(status=204)


ROUTES = {
    ("POST", "Services"): create_service,
    ("GET", "Services"): list_services,
    ("GET", "Services/{}"): fetch_service,
    ("POST", "Services/{}"): update_service,
    ("DELETE", "Services/{}"): delete_service,
    ("POST", "Services/{}/PhoneNumbers"): create_pool_member,
    ("GET", "Services/{}/PhoneNumbers"): list_pool_members,
    ("GET", "Services/{}/PhoneNumbers/{}"): fetch_pool_member,
    ("DELETE", "Services/{}/PhoneNumbers/{}"): delete_pool_member,
}

"""Phone numbers for sale.

https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_provider_twilio.emulator import inventory
from airflow_provider_twilio.emulator.models.phone_number import national_format
from airflow_provider_twilio.emulator.pagination import page_parameters
from airflow_provider_twilio.emulator.params import Params, e164
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, not_found

DEFAULT_RESULTS = 30
"""Number of phone numbers that a search returns by default."""
DEFAULT_DISTANCE = 25.0  # miles


def _find_country(request: ApiRequest) -> tuple[str, tuple[inventory.Area, ...]]:
    found = inventory.COUNTRIES.get(request.args[0])
    if found is None:
        raise not_found(request.path)
    return found


def _render_country(request: ApiRequest, code: str) -> dict[str, Any]:
    name, areas = inventory.COUNTRIES[code]
    base = f"{request.account.uri}/AvailablePhoneNumbers/{code}"
    paths = [path for path in inventory.NUMBER_TYPES if any(area.type == path for area in areas)]
    return {
        "country_code": code,
        "country": name,
        "uri": f"{base}.json",
        "beta": False,
        "subresource_uris": {inventory.NUMBER_TYPES[path]: f"{base}/{path}.json" for path in paths},
    }


def list_countries(request: ApiRequest) -> Response:
    """Handle GET AvailablePhoneNumbers."""
    page_parameters(request)
    body = [_render_country(request, code) for code in inventory.COUNTRIES]
    return Response({"countries": body, "uri": request.path})


def fetch_country(request: ApiRequest) -> Response:
    """Handle GET AvailablePhoneNumbers/{CountryCode}."""
    _find_country(request)
    return Response(_render_country(request, request.args[0]))


def _search(request: ApiRequest, path: str) -> Response:
    """Handle GET AvailablePhoneNumbers/{CountryCode}/{Type}."""
    _, areas = _find_country(request)
    if not any(area.type == path for area in areas):
        raise not_found(request.path)
    matches_area = _parse_area_filter(request)
    pattern = None
    if (given := request.query.text("Contains")) is not None:
        pattern = inventory.compile_filter(given)
        if pattern is None or not 2 <= len(given) <= 16:
            raise ApiError(20001, "Contains must be 2 to 16 digits, letters, * or %")
    size = page_parameters(request)[0] if request.query.text("PageSize") else DEFAULT_RESULTS
    owned = {number.phone_number for account in request.state.accounts for number in account.numbers}
    found: list[dict[str, Any]] = []
    for area in areas:
        if area.type != path or not matches_area(area):
            continue
        for number in area.numbers():
            if len(found) == size:
                break
            if number not in owned and (pattern is None or pattern.match(number)):
                found.append(_render_number(request, area, number))
    return Response({"available_phone_numbers": found, "uri": request.path})


def _render_number(request: ApiRequest, area: inventory.Area, number: str) -> dict[str, Any]:
    return inventory.render_available_number(request.args[0], area, number, national_format(number))


def _parse_area_filter(request: ApiRequest) -> Callable[[inventory.Area], bool]:
    """Return the filters that depend on the area of a number only."""
    query = request.query
    filters: list[Callable[[inventory.Area], bool]] = []
    if (code := query.text("AreaCode")) is not None:
        if not re.fullmatch(r"[0-9]{3}", code):
            raise ApiError(21451, f"Invalid area code: {code[:20]}")
        filters.append(lambda area: area.code == code)
    for name, attribute in (
        ("SmsEnabled", "sms"),
        ("MmsEnabled", "mms"),
        ("VoiceEnabled", "voice"),
        ("FaxEnabled", "fax"),
    ):
        if (flag := query.flag(name)) is not None:
            filters.append(lambda area, attribute=attribute, flag=flag: getattr(area, attribute) is flag)  # type: ignore[misc]
    for name, excluded in (
        ("ExcludeAllAddressRequired", ("any", "local", "foreign")),
        ("ExcludeLocalAddressRequired", ("local",)),
        ("ExcludeForeignAddressRequired", ("foreign",)),
    ):
        if query.flag(name):
            filters.append(lambda area, excluded=excluded: area.address not in excluded)  # type: ignore[misc]
    if query.flag("Beta") is False:
        filters.append(lambda area: not area.beta)
    for name, attribute in (
        ("InPostalCode", "postal_code"), ("InRegion", "region"), ("InRateCenter", "rate_center"), ("InLata", "lata"),
        ("InLocality", "locality"),
    ):  # fmt: skip
        if (text := query.text(name)) is not None:
            filters.append(_equals(attribute, text))
    center = _parse_center(query)
    miles = query.number("Distance", 0, 500) or DEFAULT_DISTANCE
    if center is not None:
        filters.append(
            lambda area: (
                area.latitude is not None
                and area.longitude is not None
                and inventory.distance(center, (area.latitude, area.longitude)) <= miles
            )
        )
    return lambda area: all(matches(area) for matches in filters)


def _equals(attribute: str, text: str) -> Callable[[inventory.Area], bool]:
    return lambda area: (getattr(area, attribute) or "").lower() == text.lower()


def _parse_center(query: Params) -> tuple[float, float] | None:
    """Return the latitude and the longitude of the center of a search; None if there is none."""
    if (place := query.text("NearLatLong")) is not None:
        match = re.fullmatch(r"(-?[0-9.]{1,20}),\s?(-?[0-9.]{1,20})", place)
        try:
            if match is not None and abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180:
                return float(match[1]), float(match[2])
        except ValueError:
            pass
        raise ApiError(20001, "NearLatLong must be a latitude and a longitude")
    if (number := query.text("NearNumber")) is not None:
        # Only North American numbers begin with an area code.
        american = re.fullmatch(r"\+1([0-9]{3})[0-9]{7}", e164(number) or "")
        code = american[1] if american else None
        for _, areas in inventory.COUNTRIES.values():
            for area in areas:
                if area.code == code and area.latitude is not None and area.longitude is not None:
                    return area.latitude, area.longitude
        raise ApiError(20001, f"No location is known for {number[:20]}")
    return None


def _handler_for(path: str) -> Callable[[ApiRequest], Response]:
    return lambda request: _search(request, path)


ROUTES: dict[tuple[str, str], Callable[[ApiRequest], Response]] = {
    ("GET", "AvailablePhoneNumbers"): list_countries,
    ("GET", "AvailablePhoneNumbers/{}"): fetch_country,
    **{("GET", f"AvailablePhoneNumbers/{{}}/{path}"): _handler_for(path) for path in inventory.NUMBER_TYPES},
}

"""Phone numbers: those of the account, and those for sale.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.values import UNRESOLVED

SID_PREFIXES = ("PN",)
TYPES = ("Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine")
"""Types of number that Twilio sells; few countries offer all of them."""

METHODS = ("GET", "POST")
MAX_DISTANCE = 500
"""Maximum search radius, in miles."""

_COUNTRY = r"[A-Z]{2}"
_LAT_LONG = r"\s*-?[0-9]{1,2}(\.[0-9]*)?\s*,\s*-?[0-9]{1,3}(\.[0-9]*)?\s*"


class IncomingPhoneNumber(Record):
    """A phone number of the account. ``capabilities`` maps ``voice``, ``sms``, ``mms`` and ``fax`` to booleans."""

    sid_prefixes = SID_PREFIXES

    sid = Sid()
    account_sid = Field(str)
    phone_number = Field(str)
    friendly_name = Field(str)
    type = Field(str)
    status = Field(str)
    origin = Field(str)
    beta = Field(bool)
    capabilities = Field(dict)
    sms_application_sid = Field(str)
    sms_url = Field(str)
    sms_method = Field(str)
    sms_fallback_url = Field(str)
    sms_fallback_method = Field(str)
    voice_application_sid = Field(str)
    voice_url = Field(str)
    voice_method = Field(str)
    voice_fallback_url = Field(str)
    voice_fallback_method = Field(str)
    voice_caller_id_lookup = Field(bool)
    voice_receive_mode = Field(str)
    status_callback = Field(str)
    status_callback_method = Field(str)
    trunk_sid = Field(str)
    bundle_sid = Field(str)
    identity_sid = Field(str)
    address_sid = Field(str)
    address_requirements = Field(str)
    emergency_status = Field(str)
    emergency_address_sid = Field(str)
    emergency_address_status = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    api_version = Field(str)
    uri = Field(str)


class _TransferredNumber(IncomingPhoneNumber):
    """A phone number after its transfer: it belongs to an account other than the requester."""

    def validation_error(self, account_sid: str | None) -> str | None:
        return super().validation_error(None)


class AvailablePhoneNumber(Record):
    """A phone number for sale. ``capabilities`` maps ``voice``, ``SMS`` and ``MMS`` to booleans."""

    sid_prefixes = ()

    phone_number = Field(str)
    friendly_name = Field(str)
    iso_country = Field(str)
    region = Field(str)
    locality = Field(str)
    postal_code = Field(str)
    rate_center = Field(str)
    lata = Field(str)
    latitude = Field(Decimal)
    longitude = Field(Decimal)
    address_requirements = Field(str)
    beta = Field(bool)
    capabilities = Field(dict)


class IncomingPhoneNumbers(Resource[C_co]):
    """Operations on the account's phone numbers: create, fetch, list, update and delete.

    .. code-block:: python

        request = IncomingPhoneNumbers.create(area_code=415)  # a Request, not yet sent
        number = IncomingPhoneNumbers(client).create(area_code=415)  # bought: an IncomingPhoneNumber
    """

    @operation
    @staticmethod
    def create(
        *,
        phone_number: str | None = None,
        area_code: int | str | None = None,
        friendly_name: str | None = None,
        sms_url: str | None = None,
        sms_method: Literal["GET", "POST"] | None = None,
        sms_fallback_url: str | None = None,
        sms_fallback_method: Literal["GET", "POST"] | None = None,
        sms_application_sid: str | None = None,
        voice_url: str | None = None,
        voice_method: Literal["GET", "POST"] | None = None,
        voice_fallback_url: str | None = None,
        voice_fallback_method: Literal["GET", "POST"] | None = None,
        voice_application_sid: str | None = None,
        voice_caller_id_lookup: bool | None = None,
        voice_receive_mode: Literal["voice", "fax"] | None = None,
        status_callback: str | None = None,
        status_callback_method: Literal["GET", "POST"] | None = None,
        trunk_sid: str | None = None,
        bundle_sid: str | None = None,
        identity_sid: str | None = None,
        address_sid: str | None = None,
        emergency_status: Literal["Active", "Inactive"] | None = None,
        emergency_address_sid: str | None = None,
        api_version: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[IncomingPhoneNumber]:
        """Create a phone number of the account by buying it.

        The request is not idempotent: it is never sent again while its outcome is unknown.

        :param phone_number: Number to buy, in E.164. Pass ``phone_number`` or ``area_code``, not both.
        :param area_code: Area code in which to buy any available number, 200 to 999 (US and Canada only). Each request
            buys another number.
        :param friendly_name: Name of the number, up to 64 characters. By default the formatted number.
        :param sms_url: URL that Twilio requests when a message arrives.
        :param sms_method: HTTP method for ``sms_url``: ``GET`` or ``POST`` (default).
        :param sms_fallback_url: URL that Twilio requests if ``sms_url`` or its TwiML fails.
        :param sms_fallback_method: HTTP method for ``sms_fallback_url``: ``GET`` or ``POST`` (default).
        :param sms_application_sid: TwiML app that handles messages, instead of the SMS URLs.
        :param voice_url: URL that Twilio requests when a call arrives.
        :param voice_method: HTTP method for ``voice_url``: ``GET`` or ``POST`` (default).
        :param voice_fallback_url: URL that Twilio requests if ``voice_url`` or its TwiML fails.
        :param voice_fallback_method: HTTP method for ``voice_fallback_url``: ``GET`` or ``POST`` (default).
        :param voice_application_sid: TwiML app that handles calls, instead of the voice URLs.
        :param voice_caller_id_lookup: Whether to look up the caller's name. False by default.
        :param voice_receive_mode: Type of incoming calls: ``voice`` or ``fax``.
        :param status_callback: URL to which Twilio reports the progress of calls.
        :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default).
        :param trunk_sid: SIP trunk that handles calls, instead of the voice URLs and app.
        :param bundle_sid: Regulatory bundle, where the country requires one.
        :param identity_sid: Identity, where the country requires one.
        :param address_sid: Address, where the country requires one.
        :param emergency_status: Whether emergency calling is enabled: ``Active`` or ``Inactive``.
        :param emergency_address_sid: Address reported to emergency services.
        :param api_version: Version of Twilio's API for the number's incoming calls. ``2010-04-01`` by default.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No number was bought.
        :raises InvalidRequest: When the number is not available (code 21422), or the area code has none (21452).

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#provision-a-phone-number
        """
        checks.one_of(phone_number=phone_number, area_code=area_code)
        checks.only_one_of(phone_number=phone_number, area_code=area_code)
        checks.phone_number("phone_number", phone_number)
        checks.between("area_code", area_code, 200, 999)
        _check_settings(
            methods={
                "sms_method": sms_method,
                "sms_fallback_method": sms_fallback_method,
                "voice_method": voice_method,
                "voice_fallback_method": voice_fallback_method,
                "status_callback_method": status_callback_method,
            },
            voice_receive_mode=voice_receive_mode,
            emergency_status=emergency_status,
        )
        checks.sids(
            sms_application_sid=(sms_application_sid, "AP"),
            voice_application_sid=(voice_application_sid, "AP"),
            trunk_sid=(trunk_sid, "TK"),
            bundle_sid=(bundle_sid, "BU"),
            identity_sid=(identity_sid, "RI"),
            address_sid=(address_sid, "AD"),
            emergency_address_sid=(emergency_address_sid, "AD"),
        )
        return Request("POST", "IncomingPhoneNumbers.json", IncomingPhoneNumber, idempotent=False)

    @operation
    @staticmethod
    def fetch(phone_number_sid: str) -> Request[IncomingPhoneNumber]:
        """Fetch a phone number of the account.

        :param phone_number_sid: SID of the number.
        :raises NotFound: When no number has this SID, or it has been deleted.

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#fetch-an-incomingphonenumber-resource
        """
        return Request("GET", _path(phone_number_sid), IncomingPhoneNumber)

    @operation
    @staticmethod
    def update(
        phone_number_sid: str,
        *,
        transfer_to_account_sid: str | None = None,
        friendly_name: str | None = None,
        sms_url: str | None = None,
        sms_method: Literal["GET", "POST"] | None = None,
        sms_fallback_url: str | None = None,
        sms_fallback_method: Literal["GET", "POST"] | None = None,
        sms_application_sid: str | None = None,
        voice_url: str | None = None,
        voice_method: Literal["GET", "POST"] | None = None,
        voice_fallback_url: str | None = None,
        voice_fallback_method: Literal["GET", "POST"] | None = None,
        voice_application_sid: str | None = None,
        voice_caller_id_lookup: bool | None = None,
        voice_receive_mode: Literal["voice", "fax"] | None = None,
        status_callback: str | None = None,
        status_callback_method: Literal["GET", "POST"] | None = None,
        trunk_sid: str | None = None,
        bundle_sid: str | None = None,
        identity_sid: str | None = None,
        address_sid: str | None = None,
        emergency_status: Literal["Active", "Inactive"] | None = None,
        emergency_address_sid: str | None = None,
        api_version: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[IncomingPhoneNumber]:
        """Update a phone number's settings, or transfer the number to another account.

        Omitted parameters keep their values; ``""`` clears a setting.

        :param phone_number_sid: SID of the number.
        :param transfer_to_account_sid: Account to transfer the number to. It must have the same parent account, whose
            credentials the request needs.
        :param friendly_name: Name of the number, up to 64 characters.
        :param sms_url: URL that Twilio requests when a message arrives.
        :param sms_method: HTTP method for ``sms_url``: ``GET`` or ``POST`` (default).
        :param sms_fallback_url: URL that Twilio requests if ``sms_url`` or its TwiML fails.
        :param sms_fallback_method: HTTP method for ``sms_fallback_url``: ``GET`` or ``POST`` (default).
        :param sms_application_sid: TwiML app that handles messages, instead of the SMS URLs.
        :param voice_url: URL that Twilio requests when a call arrives.
        :param voice_method: HTTP method for ``voice_url``: ``GET`` or ``POST`` (default).
        :param voice_fallback_url: URL that Twilio requests if ``voice_url`` or its TwiML fails.
        :param voice_fallback_method: HTTP method for ``voice_fallback_url``: ``GET`` or ``POST`` (default).
        :param voice_application_sid: TwiML app that handles calls, instead of the voice URLs.
        :param voice_caller_id_lookup: Whether to look up the caller's name.
        :param voice_receive_mode: Type of incoming calls: ``voice`` or ``fax``.
        :param status_callback: URL to which Twilio reports the progress of calls.
        :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default).
        :param trunk_sid: SIP trunk that handles calls, instead of the voice URLs and app.
        :param bundle_sid: Regulatory bundle, where the country requires one.
        :param identity_sid: Identity, where the country requires one.
        :param address_sid: Address, where the country requires one.
        :param emergency_status: Whether emergency calling is enabled: ``Active`` or ``Inactive``.
        :param emergency_address_sid: Address reported to emergency services.
        :param api_version: Version of Twilio's API for the number's incoming calls.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#update-an-incomingphonenumber-resource
        """
        _check_settings(
            methods={
                "sms_method": sms_method,
                "sms_fallback_method": sms_fallback_method,
                "voice_method": voice_method,
                "voice_fallback_method": voice_fallback_method,
                "status_callback_method": status_callback_method,
            },
            voice_receive_mode=voice_receive_mode,
            emergency_status=emergency_status,
        )
        checks.sids(
            transfer_to_account_sid=(transfer_to_account_sid, "AC"),
            sms_application_sid=(sms_application_sid, "AP"),
            voice_application_sid=(voice_application_sid, "AP"),
            trunk_sid=(trunk_sid, "TK"),
            bundle_sid=(bundle_sid, "BU"),
            identity_sid=(identity_sid, "RI"),
            address_sid=(address_sid, "AD"),
            emergency_address_sid=(emergency_address_sid, "AD"),
        )
        if transfer_to_account_sid == "":
            raise BadParameter("transfer_to_account_sid", "is empty", "pass the new owner's AC… SID, or omit it")
        parser = IncomingPhoneNumber if transfer_to_account_sid is None else _TransferredNumber
        return Request("POST", _path(phone_number_sid), parser)

    @operation
    @staticmethod
    def delete(phone_number_sid: str) -> Request[None]:
        """Delete a phone number from the account by releasing it.

        The API cannot undo this. For 10 days, the number can be bought back in Twilio's Console, in the list of
        released numbers; afterwards anyone may buy it. A number with a registered emergency address must first be
        updated with ``emergency_address_sid=""``.

        :param phone_number_sid: SID of the number.
        :raises InvalidRequest: When Twilio rejects the release, such as that of a number with an emergency address.

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#delete-an-incomingphonenumber-resource
        """
        return Request("DELETE", _path(phone_number_sid), NoContent)

    @listing
    @staticmethod
    def list(
        *,
        phone_number: str | None = None,
        friendly_name: str | None = None,
        origin: str | None = None,
        beta: bool | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[IncomingPhoneNumber]:
        """List the account's phone numbers.

        :param phone_number: Only numbers that contain these digits. ``*`` matches any single digit.
        :param friendly_name: Only numbers with exactly this name.
        :param origin: Only numbers of this origin: ``twilio`` or ``hosted``.
        :param beta: Whether to include numbers that are new to Twilio.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#read-multiple-incomingphonenumber-resources
        """
        return Listing("IncomingPhoneNumbers.json", IncomingPhoneNumber, limit=limit, page_size=page_size)


class AvailablePhoneNumbers(Resource[C_co]):
    """Operations on phone numbers for sale: list."""

    @listing
    @staticmethod
    def list(
        country: str,
        kind: Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local",
        *,
        area_code: int | str | None = None,
        contains: str | None = None,
        sms_enabled: bool | None = None,
        mms_enabled: bool | None = None,
        voice_enabled: bool | None = None,
        fax_enabled: bool | None = None,
        exclude_all_address_required: bool | None = None,
        exclude_local_address_required: bool | None = None,
        exclude_foreign_address_required: bool | None = None,
        beta: bool | None = None,
        near_number: str | None = None,
        near_lat_long: str | None = None,
        distance: int | None = None,
        in_postal_code: str | None = None,
        in_region: str | None = None,
        in_rate_center: str | None = None,
        in_lata: str | None = None,
        in_locality: str | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[AvailablePhoneNumber]:
        """List phone numbers for sale in a country. Twilio returns a single page.

        :param country: Two-letter country code (ISO 3166-1), such as ``US``.
        :param kind: Type of number: ``Local``, ``TollFree``, ``Mobile``, ``National``, ``Voip``, ``SharedCost`` or
            ``MachineToMachine``. Few countries offer all types.
        :param area_code: Only numbers in this area code, 200 to 999 (US and Canada only).
        :param contains: Only numbers that contain this pattern of 2 to 16 digits and letters. At its start or end,
            ``*`` matches any single digit and ``%`` any sequence, next to at least two digits or letters. ``+`` at its
            start matches the start of the number, and ``$`` at its end the end.
        :param sms_enabled: Only numbers that can, or cannot, receive SMS.
        :param mms_enabled: Only numbers that can, or cannot, receive MMS.
        :param voice_enabled: Only numbers that can, or cannot, receive calls.
        :param fax_enabled: Only numbers that can, or cannot, receive faxes.
        :param exclude_all_address_required: Whether to exclude numbers that require an address.
        :param exclude_local_address_required: Whether to exclude numbers that require an address in the country.
        :param exclude_foreign_address_required: Whether to exclude numbers that require an address outside the country.
        :param beta: Whether to include numbers that are new to Twilio. True by default.
        :param near_number: Only numbers near this number, in E.164 (US and Canada only).
        :param near_lat_long: Only numbers near this point, as ``latitude,longitude`` (US and Canada only).
        :param distance: Search radius around ``near_number`` or ``near_lat_long`` in miles, up to 500. Twilio's default
            is 25.
        :param in_postal_code: Only numbers in this postal code (US and Canada only).
        :param in_region: Only numbers in this state or province (US and Canada only).
        :param in_rate_center: Only numbers in this rate center (US and Canada only). Requires ``in_lata``.
        :param in_lata: Only numbers in this LATA (US and Canada only).
        :param in_locality: Only numbers in this city.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.
        :raises NotFound: When the country does not offer this type of number.

        https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
        """
        _check_country(country)
        checks.required(kind=kind)
        checks.choice("kind", kind, TYPES)
        checks.between("area_code", area_code, 200, 999)
        _check_contains(contains)
        checks.phone_number("near_number", near_number)
        _check_lat_long(near_lat_long)
        checks.between("distance", distance, 0, MAX_DISTANCE, " miles")
        if checks.is_set(distance):
            checks.one_of(near_number=near_number, near_lat_long=near_lat_long)
        if checks.is_set(in_rate_center):
            checks.required(in_lata=in_lata)
        return Listing(
            f"AvailablePhoneNumbers/{country}/{kind}.json", AvailablePhoneNumber, limit=limit, page_size=page_size
        )


def _check_settings(*, methods: dict[str, Any], voice_receive_mode: Any, emergency_status: Any) -> None:
    """Check the settings that create and update share."""
    for name, value in methods.items():
        checks.choice(name, value, METHODS)
    checks.choice("voice_receive_mode", voice_receive_mode, ("voice", "fax"))
    checks.choice("emergency_status", emergency_status, ("Active", "Inactive"))


def _check_contains(value: Any) -> None:
    """Check a search pattern against the rules that Twilio documents."""
    checks.max_length("contains", value, 16)
    if not isinstance(value, str):
        return
    fault = None
    literal = value.removeprefix("+").removesuffix("$")
    if len(value) < 2:
        fault = f"has {len(value)} characters"
    elif not re.fullmatch(r"[0-9A-Za-z*%]*", literal):
        fault = "contains characters other than digits, letters, * and %, a leading + and a trailing $"
    elif not re.fullmatch(r"[*%]*[0-9A-Za-z]*[*%]*", literal):
        fault = "has a wildcard between digits or letters"
    elif literal != literal.strip("*%") and len(literal.strip("*%")) < 2:
        fault = "has a wildcard next to fewer than two digits or letters"
    elif not literal.strip("*%"):
        fault = "contains no digit or letter"
    elif re.search(r"\+[*%]|[*%]\$", value):
        fault = "has a wildcard next to + or $"
    if fault is not None:
        raise BadParameter(
            "contains", fault, "pass 2 to 16 characters, with wildcards only at the start or end, such as '510*****'"
        )


def _check_country(value: Any) -> None:
    if value is not UNRESOLVED and not (isinstance(value, str) and re.fullmatch(_COUNTRY, value)):
        raise BadParameter(
            "country", f"is not a country code ({checks.describe(value)})", "pass two letters, such as US or GB"
        )


def _check_lat_long(value: Any) -> None:
    if not checks.is_set(value) or value is UNRESOLVED:
        return
    if not (isinstance(value, str) and re.fullmatch(_LAT_LONG, value)):
        raise BadParameter(
            "near_lat_long",
            f"is not a pair of coordinates ({checks.describe(value)})",
            "pass 'latitude,longitude' in degrees, such as '37.84,-122.42'",
        )


def _path(phone_number_sid: str) -> str:
    return f"IncomingPhoneNumbers/{checks.sid('phone_number_sid', phone_number_sid, *SID_PREFIXES)}.json"

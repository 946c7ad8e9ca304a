"""Phone numbers: those of the account, and those on offer.

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

KINDS = ("PN",)
TYPES = ("Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine")
"""The kinds of number that Twilio offers; few countries have all."""

METHODS = ("GET", "POST")
FARTHEST = 500

_COUNTRY = r"[A-Z]{2}"
_PLACE = r"\s*-?[0-9]{1,2}(\.[0-9]*)?\s*,\s*-?[0-9]{1,3}(\.[0-9]*)?\s*"


class IncomingPhoneNumber(Record):
    """Hold a number of the account. ``capabilities`` tells whether it can do ``voice``, ``sms``, ``mms``, ``fax``."""

    sid_prefixes = KINDS

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
    """Hold a number as the answer to its transfer: it rightly belongs to another account than the one asked."""

    def validation_error(self, account_sid: str | None) -> str | None:
        return super().validation_error(None)


class AvailablePhoneNumber(Record):
    """Hold a number on offer. ``capabilities`` tells whether it can do ``voice``, ``sms``, ``mms``."""

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
    """Buy, read, set up, transfer and release the account's numbers."""

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
        """Buy a number. Never repeated when its outcome is unknown.

        :param phone_number: the number, in E.164, as found among the available ones; this or ``area_code``.
        :param area_code: any number of this area code (US and Canada): two calls buy two numbers.
        :param friendly_name: what to call it, up to 64 characters; the number itself by default.
        :param sms_url: the address Twilio asks when a message comes in.
        :param sms_method: how ``sms_url`` is asked: ``GET`` or ``POST`` (Twilio's default).
        :param sms_fallback_url: asked when ``sms_url`` or its TwiML fails.
        :param sms_fallback_method: how ``sms_fallback_url`` is asked.
        :param sms_application_sid: the application that handles messages, instead of the addresses.
        :param voice_url: the address Twilio asks when a call comes in.
        :param voice_method: how ``voice_url`` is asked: ``GET`` or ``POST`` (Twilio's default).
        :param voice_fallback_url: asked when ``voice_url`` or its TwiML fails.
        :param voice_fallback_method: how ``voice_fallback_url`` is asked.
        :param voice_application_sid: the application that handles calls, instead of the addresses.
        :param voice_caller_id_lookup: whether to look up the caller's name.
        :param voice_receive_mode: ``voice`` or ``fax``.
        :param status_callback: where Twilio reports the progress of calls.
        :param status_callback_method: how ``status_callback`` is asked.
        :param trunk_sid: the trunk that handles calls, instead of the voice addresses.
        :param bundle_sid: the regulatory bundle, where the country asks for one.
        :param identity_sid: the identity, where the country asks for one.
        :param address_sid: the address, where the country asks for one.
        :param emergency_status: ``Active`` or ``Inactive``, for emergency calls.
        :param emergency_address_sid: the address given to emergency services.
        :param api_version: the version of the API for the number's calls.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.
        :raises BadParameter: before anything is sent.
        :raises InvalidRequest: the number is taken (21422), or the area has none (21452).

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#provision-a-phone-number
        """
        checks.one_of(phone_number=phone_number, area_code=area_code)
        checks.only_one_of(phone_number=phone_number, area_code=area_code)
        checks.phone_number("phone_number", phone_number)
        checks.between("area_code", area_code, 200, 999)
        _settings(
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
        """Fetch a number of the account.

        :raises NotFound: there is none with this SID, or no longer.

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
        """Change a number's settings, or give it to another account. What isn't given stays; ``""`` empties.

        :param transfer_to_account_sid: the new owner: another account of the same parent, with the parent's
            credentials.
        :param friendly_name: what to call it, up to 64 characters.
        :param sms_url: the address Twilio asks when a message comes in.
        :param sms_method: how ``sms_url`` is asked: ``GET`` or ``POST``.
        :param sms_fallback_url: asked when ``sms_url`` or its TwiML fails.
        :param sms_fallback_method: how ``sms_fallback_url`` is asked.
        :param sms_application_sid: the application that handles messages, instead of the addresses.
        :param voice_url: the address Twilio asks when a call comes in.
        :param voice_method: how ``voice_url`` is asked: ``GET`` or ``POST``.
        :param voice_fallback_url: asked when ``voice_url`` or its TwiML fails.
        :param voice_fallback_method: how ``voice_fallback_url`` is asked.
        :param voice_application_sid: the application that handles calls, instead of the addresses.
        :param voice_caller_id_lookup: whether to look up the caller's name.
        :param voice_receive_mode: ``voice`` or ``fax``.
        :param status_callback: where Twilio reports the progress of calls.
        :param status_callback_method: how ``status_callback`` is asked.
        :param trunk_sid: the trunk that handles calls, instead of the voice addresses.
        :param bundle_sid: the regulatory bundle, where the country asks for one.
        :param identity_sid: the identity, where the country asks for one.
        :param address_sid: the address, where the country asks for one.
        :param emergency_status: ``Active`` or ``Inactive``, for emergency calls.
        :param emergency_address_sid: the address given to emergency services.
        :param api_version: the version of the API for the number's calls.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#update-an-incomingphonenumber-resource
        """
        _settings(
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
            raise BadParameter("transfer_to_account_sid", "is empty", "give the new owner's AC… SID, or leave it out")
        answer = IncomingPhoneNumber if transfer_to_account_sid is None else _TransferredNumber
        return Request("POST", _path(phone_number_sid), answer)

    @operation
    @staticmethod
    def delete(phone_number_sid: str) -> Request[None]:
        """Release a number. It can't be undone: anyone may buy it next.

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
        """List the account's numbers.

        :param phone_number: only those that contain these digits; ``*`` stands for any one.
        :param friendly_name: only those of this name.
        :param origin: ``twilio`` or ``hosted``.
        :param beta: whether to include numbers that are new to Twilio.
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#read-multiple-incomingphonenumber-resources
        """
        return Listing("IncomingPhoneNumbers.json", IncomingPhoneNumber, limit=limit, page_size=page_size)


class AvailablePhoneNumbers(Resource[C_co]):
    """Search the numbers on offer."""

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
        """Search the numbers on offer in a country.

        :param country: two letters, such as ``US`` (ISO 3166-1).
        :param kind: ``Local``, ``TollFree``, ``Mobile``, ``National``, ``Voip``, ``SharedCost`` or
            ``MachineToMachine``; what a country lacks is :class:`~airflow_provider_twilio.api.errors.NotFound`.
        :param area_code: only of this area code (US and Canada).
        :param contains: 2 to 16 digits or letters; ``*`` stands for any one, ``%`` for any several.
        :param sms_enabled: only those that can, or can't, receive messages.
        :param mms_enabled: only those that can, or can't, receive media.
        :param voice_enabled: only those that can, or can't, receive calls.
        :param fax_enabled: only those that can, or can't, receive faxes.
        :param exclude_all_address_required: leave out those that need an address.
        :param exclude_local_address_required: leave out those that need an address in the country.
        :param exclude_foreign_address_required: leave out those that need an address abroad.
        :param beta: whether to include numbers that are new to Twilio (it does by default).
        :param near_number: close to this number, in E.164 (US and Canada).
        :param near_lat_long: close to this place, ``latitude,longitude`` (US and Canada).
        :param distance: how close, in miles, up to 500 (Twilio's default is 25); with one of the two above.
        :param in_postal_code: only of this postal code (US and Canada).
        :param in_region: only of this state or province (US and Canada).
        :param in_rate_center: only of this rate center, with ``in_lata`` (US and Canada).
        :param in_lata: only of this LATA (US and Canada).
        :param in_locality: only of this town.
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default). Twilio answers with one page.

        https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
        """
        _country(country)
        checks.required(kind=kind)
        checks.choice("kind", kind, TYPES)
        checks.between("area_code", area_code, 200, 999)
        checks.max_length("contains", contains, 16)
        if isinstance(contains, str) and len(contains) < 2:
            raise BadParameter("contains", f"has {len(contains)} characters", "Twilio takes 2 to 16")
        checks.phone_number("near_number", near_number)
        _place(near_lat_long)
        checks.between("distance", distance, 0, FARTHEST, " miles")
        if checks.is_set(distance):
            checks.one_of(near_number=near_number, near_lat_long=near_lat_long)
        if checks.is_set(in_rate_center):
            checks.required(in_lata=in_lata)
        return Listing(
            f"AvailablePhoneNumbers/{country}/{kind}.json", AvailablePhoneNumber, limit=limit, page_size=page_size
        )


def _settings(*, methods: dict[str, Any], voice_receive_mode: Any, emergency_status: Any) -> None:
    """Check what buying and updating a number share."""
    for name, value in methods.items():
        checks.choice(name, value, METHODS)
    checks.choice("voice_receive_mode", voice_receive_mode, ("voice", "fax"))
    checks.choice("emergency_status", emergency_status, ("Active", "Inactive"))


def _country(value: Any) -> None:
    if value is not UNRESOLVED and not (isinstance(value, str) and re.fullmatch(_COUNTRY, value)):
        raise BadParameter(
            "country", f"is not a country code ({checks.describe(value)})", "give its two letters, such as US or GB"
        )


def _place(value: Any) -> None:
    if not checks.is_set(value) or value is UNRESOLVED:
        return
    if not (isinstance(value, str) and re.fullmatch(_PLACE, value)):
        raise BadParameter(
            "near_lat_long",
            f"is not a place ({checks.describe(value)})",
            "give 'latitude,longitude' in degrees, such as '37.84,-122.42'",
        )


def _path(phone_number_sid: str) -> str:
    return f"IncomingPhoneNumbers/{checks.sid('phone_number_sid', phone_number_sid, *KINDS)}.json"

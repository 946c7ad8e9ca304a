"""Search, buy, ensure, fetch, list, set up, transfer and release phone numbers, one or many; find idle ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import NotFound
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators._ensure import EnsureNumberOperator
from airflow_provider_twilio.operators.number_housekeeping import (
    FindIdleNumbersOperator,
    ReleaseNumbersOperator,
    ReleasePlan,
    UpdateNumbersOperator,
)
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "EnsureNumberOperator",
    "FetchNumberOperator",
    "FindIdleNumbersOperator",
    "ListNumbersOperator",
    "PurchaseNumberOperator",
    "ReleaseNumberOperator",
    "ReleaseNumbersOperator",
    "SearchNumbersOperator",
    "UpdateNumberOperator",
    "UpdateNumbersOperator",
]

SEARCH = definition(AvailablePhoneNumbers.list)


class SearchNumbersOperator(TwilioOperator, operation=AvailablePhoneNumbers.list):
    """Search the numbers on offer in a country.

    :param country: two letters, such as ``US`` (ISO 3166-1). (templated)
    :param kind: ``Local``, ``TollFree``, ``Mobile``, ``National``, ``Voip``, ``SharedCost`` or
        ``MachineToMachine``; what a country lacks is :class:`~airflow_provider_twilio.api.errors.NotFound`.
        (templated)
    :param area_code: only of this area code (US and Canada). (templated)
    :param contains: 2 to 16 digits or letters; ``*`` stands for any one, ``%`` for any several. (templated)
    :param sms_enabled: only those that can, or can't, receive messages. (templated)
    :param mms_enabled: only those that can, or can't, receive media. (templated)
    :param voice_enabled: only those that can, or can't, receive calls. (templated)
    :param fax_enabled: only those that can, or can't, receive faxes. (templated)
    :param exclude_all_address_required: leave out those that need an address. (templated)
    :param exclude_local_address_required: leave out those that need an address in the country. (templated)
    :param exclude_foreign_address_required: leave out those that need an address abroad. (templated)
    :param beta: whether to include numbers that are new to Twilio (it does by default). (templated)
    :param near_number: close to this number, in E.164 (US and Canada). (templated)
    :param near_lat_long: close to this place, ``latitude,longitude`` (US and Canada). (templated)
    :param distance: how close, in miles, up to 500 (Twilio's default is 25); with one of the two above.
        (templated)
    :param in_postal_code: only of this postal code (US and Canada). (templated)
    :param in_region: only of this state or province (US and Canada). (templated)
    :param in_rate_center: only of this rate center, with ``in_lata`` (US and Canada). (templated)
    :param in_lata: only of this LATA (US and Canada). (templated)
    :param in_locality: only of this town. (templated)
    :param limit: how many at the most; they all go to XCom. (templated)
    :param page_size: records a request, up to 1000 (the default). Twilio answers with one page. (templated)

    https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource
    """

    def __init__(
        self,
        *,
        country: str,
        kind: Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local",
        area_code: int | str | None = None,
        contains: str | None = None,
        sms_enabled: bool | str | None = None,
        mms_enabled: bool | str | None = None,
        voice_enabled: bool | str | None = None,
        fax_enabled: bool | str | None = None,
        exclude_all_address_required: bool | str | None = None,
        exclude_local_address_required: bool | str | None = None,
        exclude_foreign_address_required: bool | str | None = None,
        beta: bool | str | None = None,
        near_number: str | None = None,
        near_lat_long: str | None = None,
        distance: int | str | None = None,
        in_postal_code: str | None = None,
        in_region: str | None = None,
        in_rate_center: str | None = None,
        in_lata: str | None = None,
        in_locality: str | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class PurchaseNumberOperator(SendOnceOperator, operation=IncomingPhoneNumbers.create):
    """Buy a number. Its record goes to XCom.

    It is bought once, whatever is retried, killed or lost. By area code it first finds one number on offer, and then
    buys exactly that one. To ask for more of it, such as for MMS, search first:
    ``phone_number="{{ ti.xcom_pull(task_ids='search')[0]['phone_number'] }}"``.

    :param phone_number: the number, in E.164, as found among the available ones; this or ``area_code``.
        (templated)
    :param area_code: one of the numbers on offer in this area code (US and Canada). (templated)
    :param friendly_name: what to call it, up to 64 characters; the number itself by default. (templated)
    :param sms_url: the address Twilio asks when a message comes in. (templated)
    :param sms_method: how ``sms_url`` is asked: ``GET`` or ``POST`` (Twilio's default). (templated)
    :param sms_fallback_url: asked when ``sms_url`` or its TwiML fails. (templated)
    :param sms_fallback_method: how ``sms_fallback_url`` is asked. (templated)
    :param sms_application_sid: the application that handles messages, instead of the addresses. (templated)
    :param voice_url: the address Twilio asks when a call comes in. (templated)
    :param voice_method: how ``voice_url`` is asked: ``GET`` or ``POST`` (Twilio's default). (templated)
    :param voice_fallback_url: asked when ``voice_url`` or its TwiML fails. (templated)
    :param voice_fallback_method: how ``voice_fallback_url`` is asked. (templated)
    :param voice_application_sid: the application that handles calls, instead of the addresses. (templated)
    :param voice_caller_id_lookup: whether to look up the caller's name. (templated)
    :param voice_receive_mode: ``voice`` or ``fax``. (templated)
    :param status_callback: where Twilio reports the progress of calls. (templated)
    :param status_callback_method: how ``status_callback`` is asked. (templated)
    :param trunk_sid: the trunk that handles calls, instead of the voice addresses. (templated)
    :param bundle_sid: the regulatory bundle, where the country asks for one. (templated)
    :param identity_sid: the identity, where the country asks for one. (templated)
    :param address_sid: the address, where the country asks for one. (templated)
    :param emergency_status: ``Active`` or ``Inactive``, for emergency calls. (templated)
    :param emergency_address_sid: the address given to emergency services. (templated)
    :param api_version: the version of the API for the number's calls. (templated)
    :param country: where to look for one by area code, such as ``US``. (templated)
    :param kind: the kind to look for by area code, such as ``Local`` or ``TollFree``. (templated)
    :param once: ``False`` buys in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unresolved: ``resend`` or ``fail`` (the default here) where an earlier try's outcome can't be known.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never bought.

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#provision-a-phone-number
    """

    _extra_template_fields = ("country", "kind")

    def __init__(
        self,
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
        voice_caller_id_lookup: bool | str | None = None,
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
        country: str = "US",
        kind: Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    def _build_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Check where to look for a number, if that is what to do."""
        country, kind = (given.pop(name) for name in self._extra_template_fields)
        if checks.is_set(given["area_code"]):
            SEARCH.check({"country": country, "kind": kind, "area_code": given["area_code"]})
        return given

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Give the Request for one concrete number; by area code one is looked for first.

        Twilio could choose one itself, but then a second attempt would buy a second number.
        """
        request = super()._finalize_request(request)
        if request.get("AreaCode") is None:
            return request
        return self._request(phone_number=self._first_available(**self._rendered_arguments()), area_code=None)

    def _first_available(self, *, country: str, kind: Any, area_code: int | str, **others: Any) -> str:
        offers = self.hook.available_phone_numbers.list(country, kind, area_code=area_code, limit=1)
        for offer in offers:
            if offer.phone_number:
                return offer.phone_number
        raise NotFound(f"no {kind} number of area code {area_code} is on offer in {country}")


class FetchNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.fetch):
    """Fetch a number of the account.

    :param phone_number_sid: the number, PN…. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#fetch-an-incomingphonenumber-resource
    """

    def __init__(
        self,
        *,
        phone_number_sid: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class ListNumbersOperator(TwilioOperator, operation=IncomingPhoneNumbers.list):
    """List the account's numbers.

    :param phone_number: only those that contain these digits; ``*`` stands for any one. (templated)
    :param friendly_name: only those of this name. (templated)
    :param origin: ``twilio`` or ``hosted``. (templated)
    :param beta: whether to include numbers that are new to Twilio. (templated)
    :param limit: how many at the most; they all go to XCom. (templated)
    :param page_size: records a request, up to 1000 (the default). (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#read-multiple-incomingphonenumber-resources
    """

    def __init__(
        self,
        *,
        phone_number: str | None = None,
        friendly_name: str | None = None,
        origin: str | None = None,
        beta: bool | str | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class UpdateNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.update):
    """Change a number's settings, or give it to another account. What isn't given stays; ``""`` empties.

    :param phone_number_sid: the number, PN…. (templated)
    :param transfer_to_account_sid: the new owner: another account of the same parent, with the parent's
        credentials. (templated)
    :param friendly_name: what to call it, up to 64 characters. (templated)
    :param sms_url: the address Twilio asks when a message comes in. (templated)
    :param sms_method: how ``sms_url`` is asked: ``GET`` or ``POST``. (templated)
    :param sms_fallback_url: asked when ``sms_url`` or its TwiML fails. (templated)
    :param sms_fallback_method: how ``sms_fallback_url`` is asked. (templated)
    :param sms_application_sid: the application that handles messages, instead of the addresses. (templated)
    :param voice_url: the address Twilio asks when a call comes in. (templated)
    :param voice_method: how ``voice_url`` is asked: ``GET`` or ``POST``. (templated)
    :param voice_fallback_url: asked when ``voice_url`` or its TwiML fails. (templated)
    :param voice_fallback_method: how ``voice_fallback_url`` is asked. (templated)
    :param voice_application_sid: the application that handles calls, instead of the addresses. (templated)
    :param voice_caller_id_lookup: whether to look up the caller's name. (templated)
    :param voice_receive_mode: ``voice`` or ``fax``. (templated)
    :param status_callback: where Twilio reports the progress of calls. (templated)
    :param status_callback_method: how ``status_callback`` is asked. (templated)
    :param trunk_sid: the trunk that handles calls, instead of the voice addresses. (templated)
    :param bundle_sid: the regulatory bundle, where the country asks for one. (templated)
    :param identity_sid: the identity, where the country asks for one. (templated)
    :param address_sid: the address, where the country asks for one. (templated)
    :param emergency_status: ``Active`` or ``Inactive``, for emergency calls. (templated)
    :param emergency_address_sid: the address given to emergency services. (templated)
    :param api_version: the version of the API for the number's calls. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#update-an-incomingphonenumber-resource
    """

    def __init__(
        self,
        *,
        phone_number_sid: str,
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
        voice_caller_id_lookup: bool | str | None = None,
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class ReleaseNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.delete):
    """Release one number, named by its SID or in full. Its SID goes to XCom.

    It can't be undone: anyone may buy the number next.

    :param phone_number_sid: the number's SID, PN…; this or ``phone_number``. (templated)
    :param phone_number: the number itself, in E.164, of which the account must own exactly one. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#delete-an-incomingphonenumber-resource
    """

    _extra_template_fields = ("phone_number",)

    phone_number_sid: str | None
    phone_number: str | None
    _plan: ReleasePlan
    """Knows the SID of a number that an earlier try released."""

    def __init__(self, *, phone_number_sid: str | None = None, phone_number: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    def _build_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Require one way of naming the number; its SID is looked up where it isn't given."""
        named = {"phone_number_sid": given["phone_number_sid"], "phone_number": given.pop("phone_number")}
        checks.one_of(**named)
        checks.only_one_of(**named)
        if checks.is_set(named["phone_number"]):
            checks.phone_number("phone_number", named["phone_number"])
            given["phone_number_sid"] = UNRESOLVED
        return given

    def _request(self, **instead: Any) -> Any:
        """Build the Request, with the SID of the number if it is given as such."""
        given = self._rendered_arguments()
        number = given["phone_number"]
        if checks.is_set(number):
            self._build_arguments(given)
            self.phone_number_sid, self.phone_number = self._sid_of(number), None
        return super()._request(**instead)

    def execute(self, context: Context) -> Any:
        """Release it; in a retry, also where an earlier try was killed right after it had."""
        self._plan = ReleasePlan(context)
        return super().execute(context)

    def _sid_of(self, number: str) -> str:
        """Find the one number that is exactly this: Twilio's filter also gives those that contain it."""
        listed = self.hook.incoming_phone_numbers.list(phone_number=number)
        owned = {str(record["sid"]): record for record in listed if record.phone_number == number}
        if not owned and (released := self._plan.read().get(number)):
            return str(released["sid"])
        if len(owned) != 1:
            raise NotFound(f"the account owns {len(owned)} numbers {mask(number)}, not one; nothing is released")
        self._plan.write(owned)
        return next(iter(owned))

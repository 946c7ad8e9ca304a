"""Search, buy, ensure, fetch, list, set up, transfer and release phone numbers, one or many; find idle ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import NotFound
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators.ensure_number import EnsureNumberOperator
from airflow_provider_twilio.operators.number_housekeeping import (
    FindIdleNumbersOperator,
    ReleaseNumbersOperator,
    ReleasePlan,
    UpdateNumbersOperator,
)
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved

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

    :param country: Two-letter country code (ISO 3166-1), such as ``US``. (templated)
    :param kind: Type of number: ``Local``, ``TollFree``, ``Mobile``, ``National``, ``Voip``, ``SharedCost`` or
        ``MachineToMachine``. Few countries offer all types. (templated)
    :param area_code: Only numbers in this area code, 200 to 999 (US and Canada only). (templated)
    :param contains: Only numbers that contain this pattern: 2 to 16 digits or letters, where ``*`` matches any single
        digit and ``%`` any sequence. (templated)
    :param sms_enabled: Only numbers that can, or cannot, receive SMS. (templated)
    :param mms_enabled: Only numbers that can, or cannot, receive MMS. (templated)
    :param voice_enabled: Only numbers that can, or cannot, receive calls. (templated)
    :param fax_enabled: Only numbers that can, or cannot, receive faxes. (templated)
    :param exclude_all_address_required: Whether to exclude numbers that require an address. (templated)
    :param exclude_local_address_required: Whether to exclude numbers that require an address in the country.
        (templated)
    :param exclude_foreign_address_required: Whether to exclude numbers that require an address outside the country.
        (templated)
    :param beta: Whether to include numbers that are new to Twilio. True by default. (templated)
    :param near_number: Only numbers near this number, in E.164 (US and Canada only). (templated)
    :param near_lat_long: Only numbers near this point, as ``latitude,longitude`` (US and Canada only). (templated)
    :param distance: Search radius around ``near_number`` or ``near_lat_long`` in miles, up to 500. Twilio's default is
        25. (templated)
    :param in_postal_code: Only numbers in this postal code (US and Canada only). (templated)
    :param in_region: Only numbers in this state or province (US and Canada only). (templated)
    :param in_rate_center: Only numbers in this rate center (US and Canada only). Requires ``in_lata``. (templated)
    :param in_lata: Only numbers in this LATA (US and Canada only). (templated)
    :param in_locality: Only numbers in this city. (templated)
    :param limit: Maximum number of records to list. None lists all. (templated)
    :param page_size: Records per request, 1 to 1,000 (default). (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class PurchaseNumberOperator(SendOnceOperator, operation=IncomingPhoneNumbers.create):
    """Buy a number. Its record goes to XCom.

    It is bought once, whatever is retried, killed or lost. By area code it first finds one number on offer, and then
    buys exactly that one. To ask for more of it, such as for MMS, search first:
    ``phone_number="{{ ti.xcom_pull(task_ids='search')[0]['phone_number'] }}"``.

    :param phone_number: Number to buy, in E.164. Pass ``phone_number`` or ``area_code``, not both. (templated)
    :param area_code: Area code in which to buy any available number, 200 to 999 (US and Canada only). Each request buys
        another number. (templated)
    :param friendly_name: Name of the number, up to 64 characters. By default the formatted number. (templated)
    :param sms_url: URL that Twilio requests when a message arrives. (templated)
    :param sms_method: HTTP method for ``sms_url``: ``GET`` or ``POST`` (default). (templated)
    :param sms_fallback_url: URL that Twilio requests if ``sms_url`` or its TwiML fails. (templated)
    :param sms_fallback_method: HTTP method for ``sms_fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param sms_application_sid: TwiML app that handles messages, instead of the SMS URLs. (templated)
    :param voice_url: URL that Twilio requests when a call arrives. (templated)
    :param voice_method: HTTP method for ``voice_url``: ``GET`` or ``POST`` (default). (templated)
    :param voice_fallback_url: URL that Twilio requests if ``voice_url`` or its TwiML fails. (templated)
    :param voice_fallback_method: HTTP method for ``voice_fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param voice_application_sid: TwiML app that handles calls, instead of the voice URLs. (templated)
    :param voice_caller_id_lookup: Whether to look up the caller's name. False by default. (templated)
    :param voice_receive_mode: Type of incoming calls: ``voice`` or ``fax``. (templated)
    :param status_callback: URL to which Twilio reports the progress of calls. (templated)
    :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default). (templated)
    :param trunk_sid: SIP trunk that handles calls, instead of the voice URLs and app. (templated)
    :param bundle_sid: Regulatory bundle, where the country requires one. (templated)
    :param identity_sid: Identity, where the country requires one. (templated)
    :param address_sid: Address, where the country requires one. (templated)
    :param emergency_status: Whether emergency calling is enabled: ``Active`` or ``Inactive``. (templated)
    :param emergency_address_sid: Address reported to emergency services. (templated)
    :param api_version: Version of Twilio's API for the number's incoming calls. ``2010-04-01`` by default. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param country: where to look for one by area code, such as ``US``. (templated)
    :param kind: the kind to look for by area code, such as ``Local`` or ``TollFree``. (templated)
    :param once: Whether all tries of the task together send the request once. If ``False``, every try sends it.
    :param on_clear: Whether to ``resend`` the request or to ``skip`` it when a user clears the task.
    :param on_unresolved: Whether to ``resend`` the request or to ``fail`` when the outcome of an earlier try is unknown
        and Twilio lists no matching record. By default, messages and calls are sent again, and purchases and new
        accounts fail.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before an
        earlier request is considered not sent.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        extra_params: Mapping[str, Any] | str | None = None,
        country: str = "US",
        kind: Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local",
        once: bool = True,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _build_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Check where to look for a number, if that is what to do."""
        country, kind = (given.pop(name) for name in cls._extra_template_fields)
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

    :param phone_number_sid: SID of the number. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#fetch-an-incomingphonenumber-resource
    """

    def __init__(
        self,
        *,
        phone_number_sid: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class ListNumbersOperator(TwilioOperator, operation=IncomingPhoneNumbers.list):
    """List the account's numbers.

    :param phone_number: Only numbers that contain these digits. ``*`` matches any single digit. (templated)
    :param friendly_name: Only numbers with exactly this name. (templated)
    :param origin: Only numbers of this origin: ``twilio`` or ``hosted``. (templated)
    :param beta: Whether to include numbers that are new to Twilio. (templated)
    :param limit: Maximum number of records to list. None lists all. (templated)
    :param page_size: Records per request, 1 to 1,000 (default). (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class UpdateNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.update):
    """Change a number's settings, or give it to another account. What isn't given stays; ``""`` empties.

    :param phone_number_sid: SID of the number. (templated)
    :param transfer_to_account_sid: Account to transfer the number to. It must have the same parent account, whose
        credentials the request needs. (templated)
    :param friendly_name: Name of the number, up to 64 characters. (templated)
    :param sms_url: URL that Twilio requests when a message arrives. (templated)
    :param sms_method: HTTP method for ``sms_url``: ``GET`` or ``POST`` (default). (templated)
    :param sms_fallback_url: URL that Twilio requests if ``sms_url`` or its TwiML fails. (templated)
    :param sms_fallback_method: HTTP method for ``sms_fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param sms_application_sid: TwiML app that handles messages, instead of the SMS URLs. (templated)
    :param voice_url: URL that Twilio requests when a call arrives. (templated)
    :param voice_method: HTTP method for ``voice_url``: ``GET`` or ``POST`` (default). (templated)
    :param voice_fallback_url: URL that Twilio requests if ``voice_url`` or its TwiML fails. (templated)
    :param voice_fallback_method: HTTP method for ``voice_fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param voice_application_sid: TwiML app that handles calls, instead of the voice URLs. (templated)
    :param voice_caller_id_lookup: Whether to look up the caller's name. (templated)
    :param voice_receive_mode: Type of incoming calls: ``voice`` or ``fax``. (templated)
    :param status_callback: URL to which Twilio reports the progress of calls. (templated)
    :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default). (templated)
    :param trunk_sid: SIP trunk that handles calls, instead of the voice URLs and app. (templated)
    :param bundle_sid: Regulatory bundle, where the country requires one. (templated)
    :param identity_sid: Identity, where the country requires one. (templated)
    :param address_sid: Address, where the country requires one. (templated)
    :param emergency_status: Whether emergency calling is enabled: ``Active`` or ``Inactive``. (templated)
    :param emergency_address_sid: Address reported to emergency services. (templated)
    :param api_version: Version of Twilio's API for the number's incoming calls. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        extra_params: Mapping[str, Any] | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class ReleaseNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.delete):
    """Release one number, named by its SID or in full. Its SID goes to XCom.

    It can't be undone: anyone may buy the number next.

    :param phone_number_sid: SID of the number. (templated)
    :param phone_number: the number itself, in E.164, of which the account must own exactly one. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#delete-an-incomingphonenumber-resource
    """

    _extra_template_fields = ("phone_number",)

    phone_number_sid: str | None
    phone_number: str | None
    _plan: ReleasePlan
    """Knows the SID of a number that an earlier try released."""

    def __init__(
        self,
        *,
        phone_number_sid: str | None = None,
        phone_number: str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _build_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
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

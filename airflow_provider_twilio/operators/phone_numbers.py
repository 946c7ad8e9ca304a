"""Operators for phone numbers: search, buy, fetch, list, update, transfer and release them."""

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
    """Search for available numbers in a country, and return their records to XCom.

    .. code-block:: python

        SearchNumbersOperator(task_id="search", country="US", area_code=415, sms_enabled=True, limit=5)

    The numbers are not reserved. If there are none, the list is empty.

    :param country: Two-letter country code (ISO 3166-1), such as ``US``. (templated)
    :param kind: Type of number: ``Local``, ``TollFree``, ``Mobile``, ``National``, ``Voip``, ``SharedCost`` or
        ``MachineToMachine``. Few countries offer all types. (templated)
    :param area_code: Only numbers in this area code, 200 to 999 (US and Canada only). (templated)
    :param contains: Only numbers that contain this pattern of 2 to 16 digits and letters. At its start or end, ``*``
        matches any single digit and ``%`` any sequence, next to at least two digits or letters. ``+`` at its start
        matches the start of the number, and ``$`` at its end the end. (templated)
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
    """Buy a phone number.

    Returns the record of the number to XCom. Its ``sid`` and its ``phone_number`` are XComs of their own as well.

    .. code-block:: python

        search = SearchNumbersOperator(task_id="search", country="US", mms_enabled=True, limit=1)
        buy = PurchaseNumberOperator(task_id="buy", phone_number="{{ ti.xcom_pull('search')[0]['phone_number'] }}")
        search >> buy

    All tries of the task together buy one number, even if a worker is killed or a response is lost: a retry returns the
    record of the number that an earlier try bought. With ``area_code``, the task first searches for an available number
    and then buys exactly that one. If there is none, the task fails without retry. If the outcome of an earlier try
    remains unknown, the task fails without retry by default.

    :param phone_number: Number to buy, in E.164. Pass ``phone_number`` or ``area_code``, not both. (templated)
    :param area_code: Area code in which to search for an available number, 200 to 999 (US and Canada only). (templated)
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
    :param country: Two-letter code of the country in which to search by area code. (templated)
    :param kind: Type of number to search for by area code, such as ``Local`` or ``TollFree``. (templated)
    :param once: Whether all tries of the task together buy one number only. If ``False``, every try buys another one.
    :param on_clear: Whether a task that a user clears buys another number (``resend``), or returns the record of the
        number that it has already bought (``skip``).
    :param on_unresolved: Whether to ``fail`` (default) or ``resend`` if the outcome of an earlier try is unknown and
        Twilio lists no matching record.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a number
        of an earlier try is considered not bought.
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
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the purchase, after checking those of a search by area code."""
        country, kind = (arguments.pop(name) for name in cls._extra_template_fields)
        if checks.is_set(arguments["area_code"]):
            SEARCH.check({"country": country, "kind": kind, "area_code": arguments["area_code"]})
        return arguments

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Return the request for a specific number. With ``area_code``, search for an available number first.

        Twilio could select a number itself, but a repeated request would then buy another one.
        """
        request = super()._finalize_request(request)
        if request.get("AreaCode") is None:
            return request
        return self._request(phone_number=self._first_available(**self._rendered_arguments()), area_code=None)

    def _first_available(self, *, country: str, kind: Any, area_code: int | str, **others: Any) -> str:
        available = self.hook.available_phone_numbers.list(country, kind, area_code=area_code, limit=1)
        for number in available:
            if number.phone_number:
                return number.phone_number
        raise NotFound(f"no {kind} number with area code {area_code} is available in {country}. No number was bought")


class FetchNumberOperator(TwilioOperator, operation=IncomingPhoneNumbers.fetch):
    """Fetch a number of the account, and return its record to XCom.

    .. code-block:: python

        FetchNumberOperator(task_id="fetch", phone_number_sid="{{ params.sid }}")

    A number that the account does not own fails the task without retry.

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
    """List the account's numbers, and return their records to XCom.

    .. code-block:: python

        ListNumbersOperator(task_id="list", phone_number="+1415*******")

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
    """Update the settings of a number, or transfer it to another account, and return its record to XCom.

    .. code-block:: python

        UpdateNumberOperator(task_id="update", phone_number_sid="{{ params.sid }}", sms_url="https://example.com/sms")

    A setting that is not passed remains unchanged; ``""`` clears it. A retry of the task has no further effect.

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
    """Release a phone number, and return its SID to XCom.

    .. code-block:: python

        ReleaseNumberOperator(task_id="release", phone_number="{{ params.phone_number }}")

    The API cannot restore a released number. For 10 days, you can buy it back in Twilio's Console; then anyone can buy
    it. A number with an emergency address must first be updated with ``emergency_address_sid=""``. The task fails
    without retry if the account does not own exactly one such number. A retry succeeds if an earlier try has released
    the number.

    :param phone_number_sid: SID of the number. (templated)
    :param phone_number: Number in E.164. Pass ``phone_number_sid`` or ``phone_number``, not both. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#delete-an-incomingphonenumber-resource
    """

    _extra_template_fields = ("phone_number",)

    phone_number_sid: str | None
    phone_number: str | None
    _plan: ReleasePlan
    """The plan of this task, which contains the SID of a number that an earlier try released."""

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
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments, with an unresolved SID if the number is passed instead."""
        identifiers = {"phone_number_sid": arguments["phone_number_sid"], "phone_number": arguments.pop("phone_number")}
        checks.one_of(**identifiers)
        checks.only_one_of(**identifiers)
        if checks.is_set(identifiers["phone_number"]):
            checks.phone_number("phone_number", identifiers["phone_number"])
            arguments["phone_number_sid"] = UNRESOLVED
        return arguments

    def _request(self, **overrides: Any) -> Any:
        """Build the request, after looking up the SID if the number is passed instead."""
        arguments = self._rendered_arguments()
        number = arguments["phone_number"]
        if checks.is_set(number):
            self._build_arguments(arguments)
            self.phone_number_sid, self.phone_number = self._sid_of(number), None
        return super()._request(**overrides)

    def execute(self, context: Context) -> Any:
        """Release the number. A retry succeeds if an earlier try has released it."""
        self._plan = ReleasePlan(context)
        return super().execute(context)

    def _sid_of(self, number: str) -> str:
        """Return the SID of the number with exactly these digits. Twilio's filter also matches longer numbers."""
        listed = self.hook.incoming_phone_numbers.list(phone_number=number)
        owned = {str(record["sid"]): record for record in listed if record.phone_number == number}
        if not owned and (released := self._plan.read().get(number)):
            return str(released["sid"])
        if len(owned) != 1:
            raise NotFound(f"the account owns {len(owned)} numbers {mask(number)}, not one. No number was released")
        self._plan.write(owned)
        return next(iter(owned))

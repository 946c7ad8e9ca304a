"""The operator that ensures that a phone number with a given name exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio.api import checks, codes
from airflow_provider_twilio.api.errors import InvalidRequest, NotFound
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators.number_housekeeping import COLOR, diff
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved

PURCHASE = definition(IncomingPhoneNumbers.create)
SEARCH = definition(AvailablePhoneNumbers.list)
SEARCH_PARAMETERS = (
    "country", "kind", "area_code", "contains", "sms_enabled", "mms_enabled", "voice_enabled", "fax_enabled",
    "in_region", "in_locality",
)  # fmt: skip
"""Parameters of the search. All others are settings of the number."""
MAX_TAKEN = 10
"""Maximum number of purchases that are repeated because another customer has bought the number first."""
SEARCH_LIMIT = 20
"""Maximum number of available numbers to list."""


class _AlreadyOwned(Exception):
    """Signal that the account already owns the number."""

    def __init__(self, number: IncomingPhoneNumber) -> None:
        super().__init__(number.sid)
        self.number = number


class EnsureNumberOperator(CompositeOperator, SendOnceOperator, color=COLOR):
    """Ensure that the account owns a number with this name: find it, or buy one.

    Returns the record of the number to XCom. Its ``sid`` and its ``phone_number`` are XComs of their own as well.

    .. code-block:: python

        EnsureNumberOperator(
            task_id="ensure",
            friendly_name="alerts",
            country="US",
            area_code=415,
            sms_url="https://example.com/sms",
            max_active_tis_per_dag=1,
        )

    The number is identified by its name. If the account owns a number with that name, the task changes nothing, no
    matter how often it is retried, killed or cleared. Otherwise, it selects an available number, and buys it with its
    name and settings in one request. If another customer has bought that number first, it selects another one.

    The task fails without retry if no number is available, or if several numbers have the name. Two tasks that ensure
    the same name at the same time may both buy a number, which ``max_active_tis_per_dag=1`` prevents.

    :param friendly_name: Name that identifies the number, up to 64 characters. (templated)
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
    :param in_region: Only numbers in this state or province (US and Canada only). (templated)
    :param in_locality: Only numbers in this city. (templated)
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
    :param once: Whether the task stores a purchase before it requests it. If ``False``, only the name identifies a
        number that an earlier try bought.
    :param on_clear: Whether a task that a user clears searches for the number again (``resend``), or returns the record
        that it has stored (``skip``).
    :param on_unresolved: Whether to ``resend`` (default) or ``fail`` if the outcome of an earlier try is unknown and
        Twilio does not list the number. The request names that number, which cannot be bought twice.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a number
        of an earlier try is considered not bought.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#provision-a-phone-number
    """

    def __init__(
        self,
        *,
        friendly_name: str,
        country: str,
        kind: Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local",
        area_code: int | str | None = None,
        contains: str | None = None,
        sms_enabled: bool | str | None = None,
        mms_enabled: bool | str | None = None,
        voice_enabled: bool | str | None = None,
        fax_enabled: bool | str | None = None,
        in_region: str | None = None,
        in_locality: str | None = None,
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
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the name, and the parameters of the search and the purchase."""
        checks.required(friendly_name=values["friendly_name"])
        checks.max_length("friendly_name", values["friendly_name"], 64)
        SEARCH.check({name: _blank_to_none(values[name]) for name in SEARCH_PARAMETERS})
        PURCHASE.check({**cls._settings(values), "phone_number": UNRESOLVED})

    @staticmethod
    def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _blank_to_none(value) for name, value in values.items() if name not in SEARCH_PARAMETERS}

    def _perform(self, context: Context, **arguments: Any) -> Any:
        """Find the number by its name, or buy one."""
        settings = self._settings(arguments)
        request_without_data = PURCHASE.function(**{**settings, "phone_number": UNRESOLVED})
        request = request_without_data.replace(data=PURCHASE.form_data(settings))
        taken_numbers: list[str] = []

        def finalize(request: Request[Any]) -> Request[Any]:
            if owned := self._find_by_name(arguments["friendly_name"]):
                raise _AlreadyOwned(owned)
            return request.with_params(PhoneNumber=self._first_available(arguments, taken_numbers))

        try:
            number = self._buy(context, request, finalize, taken_numbers)
        except _AlreadyOwned as owned:
            number = owned.number
            self.log.info("Buying nothing: the account already owns the number")
            if different := diff(number, {name: value for name, value in settings.items() if name in number}):
                self.log.warning(
                    "Keeping different settings of the number (%s): use UpdateNumbersOperator to change them",
                    ", ".join(different),
                )
        return self._result(number)

    def _buy(
        self,
        context: Context,
        request: Request[IncomingPhoneNumber],
        finalize: Callable[[Request[Any]], Request[Any]],
        taken_numbers: list[str],
    ) -> IncomingPhoneNumber:
        """Return the number that this or an earlier try bought.

        :param finalize: Function that adds the number to the request, right before it is sent.
        :param taken_numbers: List to which the numbers are added that another customer has bought first.
        """
        from airflow_provider_twilio._airflow.send_once import send_once_in_task

        client = self.hook.client
        while True:
            finalized: list[Request[IncomingPhoneNumber]] = []

            def finalize_request(
                request: Request[IncomingPhoneNumber], finalized: list[Request[IncomingPhoneNumber]] = finalized
            ) -> Request[IncomingPhoneNumber]:
                finalized.append(finalize(request))
                return finalized[-1]

            try:
                if not self.once:
                    return client.send(finalize_request(request))
                return send_once_in_task(
                    context,
                    client,
                    request,
                    # Each attempt has a state of its own, so that the outcome of a rejected one remains stored.
                    name=f"ensure.{len(taken_numbers)}" if taken_numbers else "",
                    on_clear=self.on_clear,
                    on_unresolved=self.on_unresolved or "resend",
                    reconcile_timeout=self.reconcile_timeout,
                    finalize_request=finalize_request,
                )
            except InvalidRequest as error:
                if error.code != codes.NUMBER_TAKEN or len(taken_numbers) >= MAX_TAKEN:
                    raise
                taken = finalized[-1].get("PhoneNumber") if finalized else None
                self.log.info(
                    "Searching for another number: %s is taken",
                    mask(taken) if taken else "the number that an earlier try selected",
                )
                taken_numbers.append(taken or "")
                # Another task may have bought it for this account.
                if owned := self._find_by_name(request.get("FriendlyName") or ""):
                    raise _AlreadyOwned(owned) from None

    def _find_by_name(self, name: str) -> IncomingPhoneNumber | None:
        """Return the number with this name, or None if there is none.

        :raises AmbiguousOutcome: If several numbers have the name.
        """
        listed = self.hook.incoming_phone_numbers.list(friendly_name=name)
        found = [number for number in listed if number.friendly_name == name]
        if len(found) > 1:
            from airflow_provider_twilio.api.errors import AmbiguousOutcome

            sids = [number.sid for number in found]
            raise AmbiguousOutcome(
                f"{len(found)} numbers have this name: {', '.join(sids)}. Rename all but one. No number was bought",
                sids,
            )
        return found[0] if found else None

    def _first_available(self, arguments: Mapping[str, Any], taken_numbers: list[str]) -> str:
        """Return an available number that matches the search and is not taken."""
        filters = {name: _blank_to_none(arguments[name]) for name in SEARCH_PARAMETERS}
        country, kind = filters.pop("country"), filters.pop("kind")
        for number in self.hook.available_phone_numbers.list(country, kind, **filters, limit=SEARCH_LIMIT):
            if number.phone_number and number.phone_number not in taken_numbers:
                return number.phone_number
        raise NotFound(f"no {kind} number that matches the search is available in {country}. No number was bought")


def _blank_to_none(value: Any) -> Any:
    """Return None for a blank string, and any other value unchanged."""
    return None if isinstance(value, str) and not value.strip() else value

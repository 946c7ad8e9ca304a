"""A number that is there, bought at most once in its life."""

from __future__ import annotations

from collections.abc import Mapping
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

BUY = definition(IncomingPhoneNumbers.create)
SEARCH = definition(AvailablePhoneNumbers.list)
SEARCH_PARAMETERS = (
    "country", "kind", "area_code", "contains", "sms_enabled", "mms_enabled", "voice_enabled", "fax_enabled",
    "in_region", "in_locality",
)  # fmt: skip
"""The parameters that a number is searched by; all others are set on it."""
MAX_ATTEMPTS = 10
"""How many numbers are tried that somebody else has just bought."""
OFFERS = 20


class _AlreadyOwned(Exception):
    """Tell that the number is there already: there is nothing to buy."""

    def __init__(self, number: IncomingPhoneNumber) -> None:
        super().__init__(number.sid)
        self.number = number


class EnsureNumberOperator(CompositeOperator, SendOnceOperator, color=COLOR):
    """Have a number of this name: find it or, where there is none, buy one. Its record goes to XCom.

    It is known by its name: run again, whatever was retried, killed or cleared, it changes nothing and buys nothing.
    Otherwise a number on offer is chosen, and bought with its name and settings in one request; if somebody else was
    quicker, another one is. Two tasks that ensure the same name at the same time may both buy: set
    ``max_active_tis_per_dag=1`` on the task.

    :param friendly_name: the name that the number is known by, up to 64 characters. (templated)
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require a name, and hold the rest against the search and the purchase."""
        checks.required(friendly_name=given["friendly_name"])
        checks.max_length("friendly_name", given["friendly_name"], 64)
        SEARCH.check({name: _given(given[name]) for name in SEARCH_PARAMETERS})
        BUY.check({**cls._settings(given), "phone_number": UNRESOLVED})

    @staticmethod
    def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _given(value) for name, value in given.items() if name not in SEARCH_PARAMETERS}

    def _perform(self, context: Context, **given: Any) -> Any:
        """Find the number, or buy it."""
        settings = self._settings(given)
        bare = BUY.function(**{**settings, "phone_number": UNRESOLVED})
        request = bare.replace(data=BUY.form_data(settings))
        refused: list[str] = []

        def prepare(request: Request[Any]) -> Request[Any]:
            if ours := self._find_by_name(given["friendly_name"]):
                raise _AlreadyOwned(ours)
            return request.with_params(PhoneNumber=self._first_available(given, refused))

        try:
            number = self._buy(context, request, prepare, refused)
        except _AlreadyOwned as ours:
            number = ours.number
            self.log.info("It is ours already: nothing is bought")
            if differing := diff(number, {name: value for name, value in settings.items() if name in number}):
                self.log.warning("Its %s differ: UpdateNumbersOperator sets them", ", ".join(differing))
        return self._result(number)

    def _buy(
        self, context: Context, request: Request[IncomingPhoneNumber], prepare: Any, refused: list[str]
    ) -> IncomingPhoneNumber:
        from airflow_provider_twilio._airflow.send_once import send_once_in_task

        client = self.hook.client
        while True:
            asked: list[Request[IncomingPhoneNumber]] = []

            def noted(
                request: Request[IncomingPhoneNumber], asked: list[Request[IncomingPhoneNumber]] = asked
            ) -> Request[IncomingPhoneNumber]:
                asked.append(prepare(request))
                return asked[-1]

            try:
                if not self.once:
                    return client.send(noted(request))
                return send_once_in_task(
                    context,
                    client,
                    request,
                    # What an earlier try was refused stays settled under its own name.
                    name=f"ensure.{len(refused)}" if refused else "",
                    on_clear=self.on_clear,
                    on_unresolved=self.on_unresolved or "resend",
                    reconcile_timeout=self.reconcile_timeout,
                    finalize_request=noted,
                )
            except InvalidRequest as error:
                if error.code != codes.NUMBER_TAKEN or len(refused) >= MAX_ATTEMPTS:
                    raise
                taken = asked[-1].get("PhoneNumber") if asked else None
                self.log.info("%s is taken: looking whether it is ours", mask(taken or "The number of an earlier try"))
                refused.append(taken or "")
                if ours := self._find_by_name(request.get("FriendlyName") or ""):
                    raise _AlreadyOwned(ours) from None

    def _find_by_name(self, name: str) -> IncomingPhoneNumber | None:
        """Find the one number of this name."""
        listed = self.hook.incoming_phone_numbers.list(friendly_name=name)
        found = [number for number in listed if number.friendly_name == name]
        if len(found) > 1:
            from airflow_provider_twilio.api.errors import AmbiguousOutcome

            sids = [number.sid for number in found]
            raise AmbiguousOutcome(f"{len(found)} numbers have this name: {', '.join(sids)}; rename all but one", sids)
        return found[0] if found else None

    def _first_available(self, given: Mapping[str, Any], refused: list[str]) -> str:
        wanted = {name: _given(given[name]) for name in SEARCH_PARAMETERS}
        country, kind = wanted.pop("country"), wanted.pop("kind")
        for offer in self.hook.available_phone_numbers.list(country, kind, **wanted, limit=OFFERS):
            if offer.phone_number and offer.phone_number not in refused:
                return offer.phone_number
        raise NotFound(f"no {kind} number like this is on offer in {country}: nothing is bought")


def _given(value: Any) -> Any:
    """Give None for a text that is empty: nothing of that is set, or searched by."""
    return None if isinstance(value, str) and not value.strip() else value

"""A number that is there, bought at most once in its life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio.api import checks, codes
from airflow_provider_twilio.api.errors import InvalidRequest, NotFound
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators.number_housekeeping import COLOR, diff
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

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
    :param country: where to look for one, such as ``US`` (ISO 3166-1). (templated)
    :param kind: the kind to look for, such as ``Local`` or ``TollFree``. (templated)
    :param area_code: only of this area code (US and Canada). (templated)
    :param contains: 2 to 16 digits or letters; ``*`` stands for any one, ``%`` for any several. (templated)
    :param sms_enabled: only those that can, or can't, receive messages. (templated)
    :param mms_enabled: only those that can, or can't, receive media. (templated)
    :param voice_enabled: only those that can, or can't, receive calls. (templated)
    :param fax_enabled: only those that can, or can't, receive faxes. (templated)
    :param in_region: only of this state or province (US and Canada). (templated)
    :param in_locality: only of this town. (templated)
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
    :param once: ``False`` trusts the name alone, and remembers nothing of a purchase that is under way.
    :param on_clear: ``resend`` looks again when a user clears the task; ``skip`` gives the number it had.
    :param on_unresolved: ``resend`` (the default here) or ``fail`` where an earlier try's outcome can't be known. The very
        same number is asked for again, which can't be bought twice.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never bought.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    def _check(self, given: Mapping[str, Any]) -> None:
        """Require a name, and hold the rest against the search and the purchase."""
        checks.required(friendly_name=given["friendly_name"])
        checks.max_length("friendly_name", given["friendly_name"], 64)
        SEARCH.check({name: _given(given[name]) for name in SEARCH_PARAMETERS})
        BUY.check({**self._settings(given), "phone_number": UNRESOLVED})

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
                    prepare=noted,
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

"""The resources that the hook and both clients have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from airflow_provider_twilio.api.accounts import Accounts, Balances
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import Feedback, MediaItems, Messages
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.api.recordings import Recordings
from airflow_provider_twilio.api.usage import UsageRecords

C = TypeVar("C")


class Resources(Generic[C]):
    """The resources with operations of their own, bound to one client: ``hook.messages.create(…)``."""

    @property
    def client(self) -> C:
        """The client that sends the requests."""
        raise NotImplementedError

    @property
    def messages(self) -> Messages[C]:
        """Messages: create, fetch, list, update, delete."""
        return Messages(self.client)

    @property
    def media(self) -> MediaItems[C]:
        """Media of a message: fetch, list, delete."""
        return MediaItems(self.client)

    @property
    def feedback(self) -> Feedback[C]:
        """Feedback on messages: whether the recipient acted on them."""
        return Feedback(self.client)

    @property
    def calls(self) -> Calls[C]:
        """Calls: create, fetch, list, update, delete."""
        return Calls(self.client)

    @property
    def incoming_phone_numbers(self) -> IncomingPhoneNumbers[C]:
        """Phone numbers of the account: buy, fetch, list, update, release."""
        return IncomingPhoneNumbers(self.client)

    @property
    def available_phone_numbers(self) -> AvailablePhoneNumbers[C]:
        """Phone numbers that can be bought."""
        return AvailablePhoneNumbers(self.client)

    @property
    def accounts(self) -> Accounts[C]:
        """The account and its subaccounts."""
        return Accounts(self.client)

    @property
    def balance(self) -> Balances[C]:
        """The account's balance."""
        return Balances(self.client)

    @property
    def usage_records(self) -> UsageRecords[C]:
        """Usage and its price, by category and period."""
        return UsageRecords(self.client)

    @property
    def recordings(self) -> Recordings[C]:
        """Recordings of calls: fetch, list, delete."""
        return Recordings(self.client)

"""The resources that the hook and both clients offer, named once."""

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
    """Offer every resource, bound to one client: ``hook.messages.create(…)``."""

    @property
    def client(self) -> C:
        """The client that runs the operations."""
        raise NotImplementedError

    @property
    def messages(self) -> Messages[C]:
        return Messages(self.client)

    @property
    def media(self) -> MediaItems[C]:
        return MediaItems(self.client)

    @property
    def feedback(self) -> Feedback[C]:
        return Feedback(self.client)

    @property
    def calls(self) -> Calls[C]:
        return Calls(self.client)

    @property
    def incoming_phone_numbers(self) -> IncomingPhoneNumbers[C]:
        return IncomingPhoneNumbers(self.client)

    @property
    def available_phone_numbers(self) -> AvailablePhoneNumbers[C]:
        return AvailablePhoneNumbers(self.client)

    @property
    def accounts(self) -> Accounts[C]:
        return Accounts(self.client)

    @property
    def balance(self) -> Balances[C]:
        return Balances(self.client)

    @property
    def usage_records(self) -> UsageRecords[C]:
        return UsageRecords(self.client)

    @property
    def recordings(self) -> Recordings[C]:
        return Recordings(self.client)

"""Read the balance; open, fetch, list, rename, suspend and activate accounts."""

from __future__ import annotations

from typing import Any, Literal

from airflow_provider_twilio.api.accounts import Accounts, Balances
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.operators.base import TwilioOperator
from airflow_provider_twilio.operators.sending import SendingOperator


class FetchBalanceOperator(TwilioOperator, operation=Balances.fetch):
    """Fetch the balance of the account acted on. Subaccounts have none of their own.

    https://www.twilio.com/docs/usage/api/account-balance
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep(locals())


class FetchAccountOperator(TwilioOperator, operation=Accounts.fetch):
    """Fetch an account.

    :param target_account_sid: the account, or a subaccount of it; the account acted on by default. (templated)

    https://www.twilio.com/docs/iam/api/account#fetch-an-account-resource
    """

    def __init__(
        self,
        *,
        target_account_sid: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep(locals())


class CreateAccountOperator(SendingOperator, operation=Accounts.create):
    """Open a subaccount of the account whose credentials these are. Its record goes to XCom.

    It is opened once, whatever is retried, killed or lost; a name of its own lets it be found again.

    :param friendly_name: what to call it, up to 64 characters; the date by default. (templated)
    :param once: ``False`` opens one in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unsure: ``send`` or ``fail`` (the default here) where an earlier try's outcome can't be known.
    :param settle: seconds, beyond the connection's time-out, before what Twilio doesn't list was never opened.

    https://www.twilio.com/docs/iam/api/subaccounts#create-a-subaccount
    """

    def __init__(
        self,
        *,
        friendly_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep(locals())


class ListAccountsOperator(TwilioOperator, operation=Accounts.list):
    """List the account whose credentials these are, and its subaccounts.

    :param friendly_name: only those of exactly this name. (templated)
    :param status: only in this status. (templated)
    :param limit: how many at the most; they all go to XCom. (templated)
    :param page_size: records a request, up to 1000 (the default). (templated)

    https://www.twilio.com/docs/iam/api/account#read-multiple-account-resources
    """

    def __init__(
        self,
        *,
        friendly_name: str | None = None,
        status: Literal["active", "suspended", "closed"] | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep(locals())


class UpdateAccountOperator(TwilioOperator, operation=Accounts.update):
    """Rename an account, or suspend or activate a subaccount. It does not close one.

    :param target_account_sid: the account. (templated)
    :param friendly_name: its new name, up to 64 characters. (templated)
    :param status: ``suspended``, or ``active`` again. (templated)

    https://www.twilio.com/docs/iam/api/account#update-an-account-resource
    """

    def __init__(
        self,
        *,
        target_account_sid: str,
        friendly_name: str | None = None,
        status: Literal["active", "suspended"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep(locals())

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Refuse to close an account by the way."""
        if given["status"] == "closed":
            raise BadParameter(
                "status",
                "is closed, which can't be undone",
                "close accounts in Twilio's console",
            )
        return given

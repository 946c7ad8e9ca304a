"""Read the balance; open, fetch, list, rename, suspend, activate and close accounts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.accounts import Account, Accounts, Balances
from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, NotFound, PermissionDenied
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber
from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS, TwilioOperator
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved


class FetchBalanceOperator(TwilioOperator, operation=Balances.fetch):
    """Fetch the balance of the account acted on, and fail if it is below a floor. Subaccounts have none of their own.

    :param minimum: the least that must be there, in the account's currency; below it the task fails, without retry.
        (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/usage/api/account-balance
    """

    _extra_template_fields = ("minimum",)
    minimum: Any

    def __init__(
        self,
        *,
        minimum: Decimal | float | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _build_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Read the floor."""
        checks.amount("minimum", given.pop("minimum"))
        return given

    def execute(self, context: Context) -> Any:
        """Fetch, and compare. Errors that would come again fail the task at once."""
        with fail_on_permanent_errors():
            self._request()
            minimum = checks.amount("minimum", self._rendered_arguments()["minimum"])
            balance = self.hook.fetch_balance()
            if minimum is not None and balance.remaining < minimum:
                raise AirflowFailException(balance.below(minimum))
            return self._result(balance)


class FetchAccountOperator(TwilioOperator, operation=Accounts.fetch):
    """Fetch an account.

    :param target_account_sid: SID of the account or subaccount. By default the account that the client acts on.
        (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/account#fetch-an-account-resource
    """

    def __init__(
        self,
        *,
        target_account_sid: str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class CreateAccountOperator(SendOnceOperator, operation=Accounts.create):
    """Open a subaccount of the account whose credentials these are. Its record goes to XCom.

    It is opened once, whatever is retried, killed or lost; a name of its own lets it be found again.

    :param friendly_name: Name of the subaccount, up to 64 characters. By default the current date. (templated)
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

    https://www.twilio.com/docs/iam/api/subaccounts#create-a-subaccount
    """

    def __init__(
        self,
        *,
        friendly_name: str | None = None,
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


class ListAccountsOperator(TwilioOperator, operation=Accounts.list):
    """List the account whose credentials these are, and its subaccounts.

    :param friendly_name: Only accounts with exactly this name. (templated)
    :param status: Only accounts in this status. (templated)
    :param limit: Maximum number of records to list. None lists all. (templated)
    :param page_size: Records per request, 1 to 1,000 (default). (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/account#read-multiple-account-resources
    """

    def __init__(
        self,
        *,
        friendly_name: str | None = None,
        status: Literal["active", "suspended", "closed"] | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class UpdateAccountOperator(TwilioOperator, operation=Accounts.update):
    """Rename an account, or suspend or activate a subaccount. It does not close one.

    :param target_account_sid: SID of the account or subaccount. (templated)
    :param friendly_name: Name of the account, up to 64 characters. (templated)
    :param status: ``suspended``, ``active``, or ``closed``, which cannot be undone. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/account#update-an-account-resource
    """

    def __init__(
        self,
        *,
        target_account_sid: str,
        friendly_name: str | None = None,
        status: Literal["active", "suspended", "closed"] | None = None,
        extra_params: Mapping[str, Any] | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _build_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Refuse to close an account by the way."""
        if given["status"] == "closed":
            raise BadParameter(
                "status",
                "is closed, which can't be undone",
                "close accounts with CloseAccountOperator",
            )
        return given


class _StatusOperator(CompositeOperator, color=COLORS["Accounts"]):
    """Change the status of a subaccount, which is named twice: by its SID, and by its name."""

    status: ClassVar[Literal["active", "suspended", "closed"]]

    @classmethod
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require both names."""
        checks.sid("target_account_sid", given["target_account_sid"], "AC")
        checks.required(friendly_name=given["friendly_name"])

    def _target(self, sid: str, friendly_name: str) -> Account:
        """Fetch the account, and refuse any other than a subaccount of this name."""
        settings = self.hook.client.settings
        if sid in (settings.account_sid, settings.auth.user):
            raise BadParameter("target_account_sid", "is the connection's own account", "give a subaccount's")
        account = self.hook.accounts.fetch(sid)
        if account.owner_account_sid in (None, sid):
            raise BadParameter("target_account_sid", "is a main account", "give a subaccount's")
        if account.friendly_name != friendly_name:
            raise BadParameter(
                "friendly_name",
                f"is {friendly_name!r}, and the account {sid} is called {account.friendly_name!r}",
                "give the SID and the name of one account; nothing was changed",
            )
        if account.status == "closed" and self.status != "closed":
            raise BadParameter("target_account_sid", "is a closed account", "nothing brings it back: open another")
        return account

    def _change(self, account: Account) -> Any:
        if account.status == self.status:
            self.log.info("Account %s is %s already", account.sid, self.status)
            return account
        return self.hook.accounts.update(account.sid, status=self.status)


class SuspendAccountOperator(_StatusOperator):
    """Suspend a subaccount: it can neither send nor call until it is activated. Its record goes to XCom.

    :param target_account_sid: the subaccount, AC…, never the connection's own account. (templated)
    :param friendly_name: its name, to be sure that it is the one that is meant. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/subaccounts#suspend-a-subaccount
    """

    status = "suspended"

    def __init__(
        self,
        *,
        target_account_sid: str,
        friendly_name: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _perform(self, context: Context, *, target_account_sid: str, friendly_name: str) -> Any:
        """Suspend it."""
        return self._result(self._change(self._target(target_account_sid, friendly_name)))


class ActivateAccountOperator(_StatusOperator):
    """Activate a suspended subaccount. Its record goes to XCom.

    :param target_account_sid: the subaccount, AC…, never the connection's own account. (templated)
    :param friendly_name: its name, to be sure that it is the one that is meant. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/subaccounts#suspend-a-subaccount
    """

    status = "active"

    def __init__(
        self,
        *,
        target_account_sid: str,
        friendly_name: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _perform(self, context: Context, *, target_account_sid: str, friendly_name: str) -> Any:
        """Activate it."""
        return self._result(self._change(self._target(target_account_sid, friendly_name)))


class CloseAccountOperator(_StatusOperator):
    """Close a subaccount for good, with ``apply``. What becomes of it, and the numbers lost with it, go to XCom.

    It can't be undone: its numbers are released, and anyone may buy them next.

    :param target_account_sid: the subaccount, AC…, never the connection's own account. (templated)
    :param friendly_name: its name, to be sure that it is the one that is meant. (templated)
    :param apply: close it; otherwise it is only told what would be lost. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/iam/api/subaccounts#close-a-subaccount
    """

    status = "closed"

    def __init__(
        self,
        *,
        target_account_sid: str,
        friendly_name: str,
        apply: bool | str = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _perform(self, context: Context, *, target_account_sid: str, friendly_name: str, apply: bool) -> dict[str, Any]:
        """Name what will be lost and, if asked to, close the account."""
        account = self._target(target_account_sid, friendly_name)
        lost = None if account.status == "closed" else self._numbers(account)
        for number in lost or ():
            self.log.info("%s %s is lost with it", number["sid"], mask(number["phone_number"] or ""))
        if apply:
            account = self._change(account)
        else:
            self.log.info("Nothing was closed: set apply=True to close %s", account.sid)
        return {**account, "phone_numbers": lost, "applied": apply and not self.hook.client.settings.dry_run}

    def _numbers(self, account: Account) -> list[dict[str, Any]] | None:
        """List its numbers; None where Twilio doesn't tell, as it may not of a suspended account."""
        path = f"/{VERSION}/Accounts/{account.sid}/IncomingPhoneNumbers.json"
        try:
            owned = list(self.hook.client.iter_records(Listing(path, IncomingPhoneNumber)))
        except (PermissionDenied, InvalidRequest, NotFound) as error:
            self.log.warning("The numbers that are lost with it can't be listed: %s", error)
            return None
        return [{name: number.get(name) for name in ("sid", "phone_number", "friendly_name")} for number in owned]

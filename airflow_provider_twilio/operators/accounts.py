"""Operators for accounts: check the balance, and open, fetch, list, rename, suspend and close accounts."""

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
    """Fetch the balance of the account, and fail if it is below a minimum.

    Returns the ``balance`` and the ``currency`` to XCom.

    .. code-block:: python

        FetchBalanceOperator(task_id="check_balance", minimum=50)

    A balance below the minimum fails the task without retry, and so does a subaccount: Twilio charges its parent
    account, which alone has a balance.

    :param minimum: Minimum balance, in the account's currency. By default, there is none. (templated)
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
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments without the minimum, after checking it."""
        checks.amount("minimum", arguments.pop("minimum"))
        return arguments

    def execute(self, context: Context) -> Any:
        """Fetch the balance, and compare it with the minimum. Permanent errors fail the task without retry."""
        with fail_on_permanent_errors():
            self._request()
            minimum = checks.amount("minimum", self._rendered_arguments()["minimum"])
            balance = self.hook.fetch_balance()
            if minimum is not None and balance.remaining < minimum:
                raise AirflowFailException(balance.below(minimum))
            return self._result(balance)


class FetchAccountOperator(TwilioOperator, operation=Accounts.fetch):
    """Fetch an account, and return its record to XCom.

    .. code-block:: python

        FetchAccountOperator(task_id="fetch", target_account_sid="{{ params.subaccount }}")

    The record does not contain the account's auth token. An account that does not exist fails the task without retry.

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
    """Open a subaccount of the connection's account.

    Returns the record of the subaccount to XCom, without its auth token. Its ``sid`` is an XCom of its own as well.

    .. code-block:: python

        CreateAccountOperator(task_id="open", friendly_name="shop-{{ params.shop }}")

    All tries of the task together open one subaccount, even if a worker is killed or a response is lost: a retry
    returns the record of the subaccount that an earlier try opened. It finds that record by its name, so choose a
    unique one. If the outcome of an earlier try remains unknown, the task fails without retry by default.

    :param friendly_name: Name of the subaccount, up to 64 characters. By default the current date. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param once: Whether all tries of the task together open one subaccount only. If ``False``, every try opens another
        one.
    :param on_clear: Whether a task that a user clears opens another subaccount (``resend``), or returns the record of
        the subaccount that it has already opened (``skip``).
    :param on_unresolved: Whether to ``fail`` (default) or ``resend`` if the outcome of an earlier try is unknown and
        Twilio lists no matching record.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a
        subaccount of an earlier try is considered not opened.
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
    """List the connection's account and its subaccounts, and return their records to XCom.

    .. code-block:: python

        ListAccountsOperator(task_id="list", status="active")

    The records do not contain auth tokens.

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
    """Rename an account, or suspend or activate a subaccount, and return its record to XCom.

    .. code-block:: python

        UpdateAccountOperator(task_id="rename", target_account_sid="{{ params.sid }}", friendly_name="shop-1")

    The status ``closed`` is rejected, because an account cannot be reopened.

    :param target_account_sid: SID of the account or subaccount. (templated)
    :param friendly_name: Name of the account, up to 64 characters. (templated)
    :param status: ``suspended`` or ``active``. To close an account, use :class:`CloseAccountOperator`. (templated)
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
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments, after rejecting the status ``closed``."""
        if arguments["status"] == "closed":
            raise BadParameter("status", "is closed, which cannot be undone", "use CloseAccountOperator")
        return arguments


class _StatusOperator(CompositeOperator, color=COLORS["Accounts"]):
    """Base class of operators that change the status of a subaccount, which its SID and its name must identify."""

    status: ClassVar[Literal["active", "suspended", "closed"]]

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check that both the SID and the name are set."""
        checks.sid("target_account_sid", values["target_account_sid"], "AC")
        checks.required(friendly_name=values["friendly_name"])

    def _target(self, sid: str, friendly_name: str) -> Account:
        """Return the account, after checking that it is a subaccount with this name.

        :raises BadParameter: If it is not, or if it is closed and cannot be changed.
        """
        settings = self.hook.client.settings
        if sid in (settings.account_sid, settings.auth.user):
            raise BadParameter("target_account_sid", "is the connection's own account", "pass a subaccount")
        account = self.hook.accounts.fetch(sid)
        if account.owner_account_sid in (None, sid):
            raise BadParameter("target_account_sid", "is a main account", "pass a subaccount")
        if account.friendly_name != friendly_name:
            raise BadParameter(
                "friendly_name",
                f"is {friendly_name!r}, but the account {sid} is named {account.friendly_name!r}",
                "pass the SID and the name of the same account. No account was changed",
            )
        if account.status == "closed" and self.status != "closed":
            raise BadParameter("target_account_sid", "is a closed account", "open another account")
        return account

    def _change(self, account: Account) -> Any:
        if account.status == self.status:
            self.log.info("Changing nothing: account %s is already %s", account.sid, self.status)
            return account
        return self.hook.accounts.update(account.sid, status=self.status)


class SuspendAccountOperator(_StatusOperator):
    """Suspend a subaccount, and return its record to XCom.

    .. code-block:: python

        SuspendAccountOperator(task_id="suspend", target_account_sid="{{ params.sid }}", friendly_name="shop-1")

    A suspended account can neither send messages nor place calls until it is activated. The task fails without retry if
    the name does not match, or if the account is the connection's own. A retry of the task has no further effect.

    :param target_account_sid: SID of the subaccount. The connection's own account is rejected. (templated)
    :param friendly_name: Name of the subaccount, to confirm that the SID is the intended one. (templated)
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
        """Suspend the account."""
        return self._result(self._change(self._target(target_account_sid, friendly_name)))


class ActivateAccountOperator(_StatusOperator):
    """Activate a suspended subaccount, and return its record to XCom.

    .. code-block:: python

        ActivateAccountOperator(task_id="activate", target_account_sid="{{ params.sid }}", friendly_name="shop-1")

    The task fails without retry if the name does not match, or if the account is closed. A retry of the task has no
    further effect.

    :param target_account_sid: SID of the subaccount. The connection's own account is rejected. (templated)
    :param friendly_name: Name of the subaccount, to confirm that the SID is the intended one. (templated)
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
        """Activate the account."""
        return self._result(self._change(self._target(target_account_sid, friendly_name)))


class CloseAccountOperator(_StatusOperator):
    """Close a subaccount permanently.

    Returns the record of the account to XCom, with the keys ``phone_numbers`` (the numbers that are lost) and
    ``applied``. Without ``apply``, no account is closed.

    .. code-block:: python

        CloseAccountOperator(
            task_id="close",
            target_account_sid="{{ params.sid }}",
            friendly_name="shop-1",
            apply="{{ params.apply }}",
        )

    A closed account cannot be reopened. Its numbers are released, and anyone can buy them. The task fails without retry
    if the name does not match, or if the account is the connection's own. A retry of the task has no further effect.

    :param target_account_sid: SID of the subaccount. The connection's own account is rejected. (templated)
    :param friendly_name: Name of the subaccount, to confirm that the SID is the intended one. (templated)
    :param apply: Whether to close the account. By default, the task only reports which numbers would be lost.
        (templated)
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
        """Log the numbers that are lost and, with ``apply``, close the account."""
        account = self._target(target_account_sid, friendly_name)
        numbers = None if account.status == "closed" else self._numbers(account)
        for number in numbers or ():
            self.log.info(
                "%s with the account: %s %s",
                "Releasing" if apply else "Would release", number["sid"], mask(number["phone_number"] or ""),
            )  # fmt: skip
        if apply:
            account = self._change(account)
        else:
            self.log.info("Closing nothing: set apply=True to close account %s", account.sid)
        return {**account, "phone_numbers": numbers, "applied": apply and not self.hook.client.settings.dry_run}

    def _numbers(self, account: Account) -> list[dict[str, Any]] | None:
        """Return the account's numbers, or None if Twilio does not list them, such as those of a suspended account."""
        path = f"/{VERSION}/Accounts/{account.sid}/IncomingPhoneNumbers.json"
        try:
            owned = list(self.hook.client.iter_records(Listing(path, IncomingPhoneNumber)))
        except (PermissionDenied, InvalidRequest, NotFound) as error:
            self.log.warning("Cannot list the numbers of account %s: %s", account.sid, error)
            return None
        return [{name: number.get(name) for name in ("sid", "phone_number", "friendly_name")} for number in owned]

"""The operator that reports usage and costs, and compares them with a budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.templates import resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, PermissionDenied
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.api.usage import UsageRecord, UsageRecords
from airflow_provider_twilio.operators._base.composite import CompositeOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters

COLUMNS = (
    "account_sid", "account_name", "category", "description", "start_date", "end_date", "count", "count_unit", "usage",
    "usage_unit", "price", "price_unit", "as_of",
)  # fmt: skip
PERIODS: Mapping[str, Any] = {
    "range": UsageRecords.list,
    "day": UsageRecords.daily,
    "month": UsageRecords.monthly,
}
TOTAL_CATEGORY = "totalprice"
"""Category of Twilio's own total of all costs."""


class UsageReportOperator(CompositeOperator, color="#ece6f6"):
    """Write a report of usage and costs to a file, and fail if the costs exceed a budget.

    Returns a summary to XCom, with the ``totalprice``, the ``price_unit`` and the number of ``rows``.

    .. code-block:: python

        UsageReportOperator(
            task_id="report",
            start="-30days",
            end="-1days",
            path="s3://aws_default@bucket/usage/{{ ds }}.csv",
            budget=1000,
        )

    A row is the usage of one category by one account in one period. Categories overlap (``sms`` includes
    ``sms-outbound``), so do not add them up. The total, which is compared with the budget, is Twilio's own
    ``totalprice`` of the account and its subaccounts.

    The report is written before the budget is checked. Costs above the budget fail the task without retry. A retry
    writes the report again.

    :param start: First day (UTC), or its distance from today, such as ``-30days``. (templated)
    :param end: Last day (UTC), or its distance from today: ``-1days`` is yesterday. (templated)
    :param path: ``.csv`` or ``.jsonl`` file, local or in an object store, such as
        ``s3://aws_default@bucket/usage.csv``. (templated)
    :param by: Period of a row: ``day``, ``month``, or the whole ``range``. (templated)
    :param category: Category, or list of categories, such as ``sms-outbound``. All by default. (templated)
    :param subaccounts: Whether each subaccount has rows of its own. By default, the account's rows include the usage of
        its subaccounts. (templated)
    :param budget: Maximum costs, in the account's currency. By default, there is no maximum. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/usage/api/usage-record
    """

    def __init__(
        self,
        *,
        start: date | str,
        end: date | str,
        path: str,
        by: Literal["day", "month", "range"] = "range",
        category: Sequence[str] | str | None = None,
        subaccounts: bool | str = False,
        budget: Decimal | float | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        return value if isinstance(value, date) else super()._literal_of(name, resolve_literal(value))

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the range of days, the file and the budget."""
        start, end = values["start"], values["end"]
        checks.required(start=start, end=end, path=values["path"])
        definition(UsageRecords.list).check({"start": start, "end": end})
        first, last = _absolute_day(start), _absolute_day(end)
        if first and last and first > last:
            raise BadParameter("start and end", "are in the wrong order", "pass the first day, then the last")
        checks.choice("by", values["by"], list(PERIODS))
        storage.check_path("path", values["path"], storage.TABLE_FORMATS)
        checks.amount("budget", values["budget"])

    def _perform(
        self,
        context: Context,
        *,
        start: Any,
        end: Any,
        path: str,
        by: str,
        category: Any,
        subaccounts: bool,
        budget: Any,
    ) -> dict[str, Any]:
        """Write the report, then compare the total with the budget."""
        categories = [category] if isinstance(category, str) else list(category or [None])
        days = {"start": start, "end": end}
        accounts: dict[str, str | None] = {self.hook.client.settings.account_sid: None}
        if subaccounts:
            accounts = {account.sid: account.friendly_name for account in self.hook.accounts.list()}
        unavailable: list[str] = []
        rows = self._rows(accounts, categories, PERIODS[by], days, unavailable, include_subaccounts=not subaccounts)
        count = storage.write_table("path", path, COLUMNS, rows, self.hook)
        total = next(self.hook.usage_records.list(category=TOTAL_CATEGORY, **days, include_subaccounts=True), None)
        if total is None:
            raise BadParameter(
                "start and end", "contain no day with usage records", "pass the first day, then the last"
            )
        cost = total.price or Decimal()
        maximum = checks.amount("budget", budget)
        self.log.info("Wrote %d rows to %s. The total is %s %s", count, path, cost, total.price_unit)
        if maximum is not None and cost > maximum:
            raise AirflowFailException(
                f"The costs from {total.start_date} to {total.end_date} are {cost} {total.price_unit}, above the budget"
                f" of {maximum}. The report is at {path}"
            )
        return {
            "path": path,
            "rows": count,
            "start": str(total.start_date),
            "end": str(total.end_date),
            "totalprice": str(cost),
            "price_unit": total.price_unit,
            "budget": None if maximum is None else str(maximum),
            "unavailable_accounts": unavailable,
        }

    def _rows(
        self,
        accounts: Mapping[str, str | None],
        categories: Sequence[str | None],
        listing: Any,
        days: Mapping[str, Any],
        unavailable: list[str],
        *,
        include_subaccounts: bool,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of the report.

        :param unavailable: List to which the SIDs of accounts are added whose usage Twilio does not return.
        """
        for sid, name in accounts.items():
            for category in categories:
                own: Listing[UsageRecord] = listing(category=category, **days, include_subaccounts=include_subaccounts)
                try:
                    for record in self.hook.client.iter_records(_for_account(own, sid)):
                        yield {**record, "account_name": name}
                except PermissionDenied as error:  # such as for a suspended account
                    self.log.warning("Omitting account %s, whose usage is not available: %s", sid, error)
                    unavailable.append(sid)
                    break


def _absolute_day(day: Any) -> str | None:
    """Return a day as YYYY-MM-DD, or None if it is relative to today or not yet known."""
    text = str(day)
    return text if text[:1].isdigit() else None


def _for_account(listing: Listing[UsageRecord], sid: str) -> Listing[UsageRecord]:
    """Return the same listing for another account."""
    return listing.replace(path=f"/{VERSION}/Accounts/{sid}/{listing.path}")

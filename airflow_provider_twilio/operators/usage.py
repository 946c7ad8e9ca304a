"""Report what was used, and hold what it cost against a budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow import storage as files
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
TOTAL = "totalprice"


class UsageReportOperator(CompositeOperator, color="#ece6f6"):
    """Write what was used, and what it cost, into a file, and fail if it cost more than a budget. The sum goes to XCom.

    A row is one category of one account in one period. Categories nest (``sms`` holds ``sms-outbound``): never sum them
    up. The sum, and what the budget is held against, is Twilio's own ``totalprice``, over all that the report is about.
    The report is written before the task fails for its budget.

    :param start: the first day (UTC), or how far back it is: ``-30days``. (templated)
    :param end: the last day (UTC), or how far back it is: ``-1days`` is yesterday. (templated)
    :param path: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, such as ``s3://aws_default@bucket/usage/{{ ds
        }}.csv``. (templated)
    :param by: a row for each ``day`` or ``month``, or for the whole ``range``. (templated)
    :param category: only these categories, such as ``sms-outbound``; all by default. (templated)
    :param subaccounts: a row for each subaccount, without those below it; otherwise the account acted on counts them
        in. (templated)
    :param budget: the most it may have cost, in the account's currency. (templated)
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require a range with both ends, a file to write, and a budget that is one."""
        start, end = given["start"], given["end"]
        checks.required(start=start, end=end, path=given["path"])
        definition(UsageRecords.list).check({"start": start, "end": end})
        first, last = _absolute(start), _absolute(end)
        if first and last and first > last:
            raise BadParameter("start and end", "are the wrong way round", "give the first day, then the last")
        checks.choice("by", given["by"], list(PERIODS))
        files.check_path("path", given["path"], files.TABLE_FORMATS)
        checks.amount("budget", given["budget"])

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
        """Write the report, then look at the sum."""
        categories = [category] if isinstance(category, str) else list(category or [None])
        span = {"start": start, "end": end}
        accounts: dict[str, str | None] = {self.hook.client.settings.account_sid: None}
        if subaccounts:
            accounts = {account.sid: account.friendly_name for account in self.hook.accounts.list()}
        silent: list[str] = []
        rows = self._rows(accounts, categories, PERIODS[by], span, silent, alone=subaccounts)
        count = files.write_table("path", path, COLUMNS, rows, self.hook)
        total = next(self.hook.usage_records.list(category=TOTAL, **span, include_subaccounts=True), None)
        if total is None:
            raise BadParameter("start and end", "hold no day that Twilio knows of", "give the first day, then the last")
        cost = total.price or Decimal()
        most = checks.amount("budget", budget)
        self.log.info("%d rows; it cost %s %s, %s", count, cost, total.price_unit, f"budget {most}" if most else "")
        if most is not None and cost > most:
            raise AirflowFailException(
                f"It cost {cost} {total.price_unit} from {total.start_date} to {total.end_date}: over the budget of"
                f" {most}. The report is at {path}"
            )
        return {
            "path": path,
            "rows": count,
            "start": str(total.start_date),
            "end": str(total.end_date),
            "totalprice": str(cost),
            "price_unit": total.price_unit,
            "budget": None if most is None else str(most),
            "accounts_that_do_not_tell": silent,
        }

    def _rows(
        self,
        accounts: Mapping[str, str | None],
        categories: Sequence[str | None],
        listing: Any,
        span: Mapping[str, Any],
        silent: list[str],
        *,
        alone: bool,
    ) -> Iterator[dict[str, Any]]:
        for sid, name in accounts.items():
            for category in categories:
                wanted: Listing[UsageRecord] = listing(category=category, **span, include_subaccounts=not alone)
                try:
                    for record in self.hook.client.iter_records(_of_account(wanted, sid)):
                        yield {**record, "account_name": name}
                except PermissionDenied as error:  # of a suspended account, perhaps
                    self.log.warning("Account %s does not tell its usage: %s", sid, error)
                    silent.append(sid)
                    break


def _absolute(day: Any) -> str | None:
    """Give a day as Twilio writes it, so that days sort; None for one that is counted from today, or not known yet."""
    text = str(day)
    return text if text[:1].isdigit() else None


def _of_account(listing: Listing[UsageRecord], sid: str) -> Listing[UsageRecord]:
    """Give the same list of another account."""
    return listing.replace(path=f"/{VERSION}/Accounts/{sid}/{listing.path}")

"""Operators for many phone numbers: update them, find idle ones, and release them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound, TwilioError
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import is_sid
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS
from airflow_provider_twilio.operators._number_patterns import (
    as_list,
    as_patterns,
    check_patterns,
    check_selection,
    matches_any,
    select,
    unowned_error,
)
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters

UPDATE = definition(IncomingPhoneNumbers.update)
COLOR = COLORS["IncomingPhoneNumbers"]
REPORT_COLUMNS = ("sid", "phone_number", "friendly_name", "outcome")
NUMBER_FIELDS = REPORT_COLUMNS[:3]
PLAN_KEY = "twilio_release"
"""Key in the task state store of the number of chunks of a plan, and prefix of the chunks' keys."""
CHUNK_SIZE = 300
"""Maximum size of a chunk, in phone numbers. The task state store accepts values of up to 64 KB."""


def diff(number: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that an update would change, each with the current and the new value."""
    changes = {}
    for name, value in settings.items():
        current = number.get(name)
        if value is not None and value != current and not (value == "" and not current):
            changes[name] = [current, value]
    return changes


class UpdateNumbersOperator(CompositeOperator, color=COLOR):
    """Update the settings of many numbers.

    Returns the numbers that differ from the settings to XCom, each with its ``changes`` and whether they were
    ``applied``. Without ``apply``, the task only reports the changes.

    .. code-block:: python

        UpdateNumbersOperator(
            task_id="update",
            phone_numbers=["support-*", "+14155550100"],
            sms_url="https://example.com/sms",
            apply=True,
        )

    A setting that is not passed remains unchanged; ``""`` clears it. The task fails without retry, before any change,
    if an entry of ``phone_numbers`` matches none of the account's numbers. A retry updates the numbers that still
    differ.

    :param phone_numbers: SIDs (PN…), numbers in E.164, or patterns that match numbers or their names, such as
        ``+1415*`` or ``support-*``. Patterns are case-insensitive. (templated)
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
    :param voice_caller_id_lookup: Whether to look up the caller's name. (templated)
    :param voice_receive_mode: Type of incoming calls: ``voice`` or ``fax``. (templated)
    :param status_callback: URL to which Twilio reports the progress of calls. (templated)
    :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default). (templated)
    :param trunk_sid: SIP trunk that handles calls, instead of the voice URLs and app. (templated)
    :param apply: Whether to update the numbers. By default, the changes are only reported. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#update-an-incomingphonenumber-resource
    """

    def __init__(
        self,
        *,
        phone_numbers: Sequence[str] | str,
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
        apply: bool | str = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the selection of numbers and their settings."""
        settings = {name: value for name, value in values.items() if name not in ("phone_numbers", "apply")}
        check_selection("phone_numbers", values["phone_numbers"], patterns=True)
        if all(value is None for value in settings.values()):
            raise BadParameter("phone_numbers", "is set without any setting", "pass at least one, such as sms_url")
        UPDATE.check({"phone_number_sid": UNRESOLVED, **settings})

    def _perform(self, context: Context, *, phone_numbers: Any, apply: bool, **settings: Any) -> list[dict[str, Any]]:
        """Find the differences and, with ``apply``, update the numbers."""
        client = self.hook.client
        selected, missing = select(client.incoming_phone_numbers.list(), as_list(phone_numbers))
        if missing:
            raise unowned_error(missing, client.settings.account_sid, "changed")
        rows: list[dict[str, Any]] = []
        applies = apply and not client.settings.dry_run
        for number in selected.values():
            changes = diff(number, settings)
            if not changes:
                continue
            self.log.info("%s %s: %s", number.sid, mask(number.phone_number or ""), _format_changes(changes))
            rows.append(
                {
                    "sid": number.sid,
                    "phone_number": number.phone_number,
                    "friendly_name": number.friendly_name,
                    "changes": changes,
                    "applied": applies,
                }
            )
        if apply:
            for row in rows:
                new_values = {name: new for name, (_, new) in row["changes"].items()}
                client.send(IncomingPhoneNumbers.update(row["sid"], **new_values))
        if applies:
            self.log.info("Updated %d of %d numbers", len(rows), len(selected))
        else:
            reason = "dry run" if apply else "set apply=True to update them"
            self.log.info("Updating nothing (%s): %d of %d numbers differ", reason, len(rows), len(selected))
        return rows


class FindIdleNumbersOperator(CompositeOperator, color=COLOR):
    """Find numbers without traffic, and their monthly prices.

    Returns the idle numbers to XCom, each with its ``sid``, ``phone_number``, ``friendly_name``, ``type``, ``since``
    (its creation) and ``monthly_price``.

    .. code-block:: python

        FindIdleNumbersOperator(task_id="find_idle", days=90, protect=["alerts*", "+1800*"])

    Messages and calls in both directions count as traffic, including WhatsApp and failed attempts. A number that was
    created less than ``days`` ago is never idle. If a number was transferred from another account, its traffic there is
    not visible: protect such numbers.

    Twilio is queried for each number: with nine requests for an idle number, and often with one for another. Twilio
    cannot filter failed messages and calls by date, so the task reads all that an idle number has ever sent. The task
    changes nothing, and a retry starts over.

    :param days: Days without traffic after which a number is idle, 1 to 400. (templated)
    :param protect: Patterns of numbers that are never idle. They match numbers or their names, such as ``+1800*`` or
        ``reserve-*``, and are case-insensitive. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#read-multiple-incomingphonenumber-resources
    """

    def __init__(
        self,
        *,
        days: int | str,
        protect: Sequence[str] | str = (),
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the number of days, which Twilio's lists must cover, and the patterns."""
        checks.required(days=values["days"])
        parse_int("days", values["days"], 1, 400)
        check_patterns("protect", values["protect"])

    def _perform(self, context: Context, *, days: Any, protect: Any) -> list[dict[str, Any]]:
        """Return the idle numbers among those that are old enough and not protected."""
        from airflow_provider_twilio.operators._idle_numbers import is_old_enough, usage_category

        since = datetime.now(UTC) - timedelta(days=int(days))
        owned = list(self.hook.incoming_phone_numbers.list())
        candidates = [
            number for number in owned if not matches_any(number, as_patterns(protect)) and is_old_enough(number, since)
        ]
        idle = self._run_in_background(self._find_idle(candidates, since))
        prices = self._monthly_prices() if idle else {}
        rows = [
            {
                "sid": number.sid,
                "phone_number": number.phone_number,
                "friendly_name": number.friendly_name,
                "type": number.type,
                "since": str(number["date_created"]),
                "monthly_price": prices.get(usage_category(number)),
            }
            for number in idle
        ]
        total = sum((Decimal(row["monthly_price"]) for row in rows if row["monthly_price"]), Decimal())
        self.log.info(
            "Found %d of %d numbers without traffic in %s days, at about %s a month; skipped %d numbers",
            len(idle), len(owned), days, total, len(owned) - len(candidates),
        )  # fmt: skip
        return rows

    async def _find_idle(self, numbers: Sequence[IncomingPhoneNumber], since: datetime) -> list[IncomingPhoneNumber]:
        from airflow_provider_twilio.operators._idle_numbers import CONCURRENCY, find_idle

        async with self.hook.aclient(concurrency=CONCURRENCY) as client:
            return await find_idle(client, numbers, since)

    def _monthly_prices(self) -> dict[str, str]:
        """Return the monthly price of a number by usage category, as charged in the past month."""
        records = self.hook.usage_records.list(start="-31days", end="-0days", include_subaccounts=False)
        return {
            str(record.category): f"{record.price / record.count:.2f}"
            for record in records
            if str(record.category).startswith("phonenumbers") and record.count and record.price is not None
        }


class ReleaseNumbersOperator(CompositeOperator, color=COLOR):
    """Release several phone numbers.

    Returns the numbers to XCom, each with its ``outcome``. Without ``apply``, the task only reports which numbers it
    would release.

    .. code-block:: python

        ReleaseNumbersOperator(
            task_id="release",
            phone_numbers="{{ ti.xcom_pull('find_idle') | map(attribute='sid') | list }}",
            protect=["main-*"],
            report="s3://aws_default@bucket/released/{{ ds }}.csv",
            apply="{{ params.apply }}",
        )

    The API cannot restore a released number. For 10 days, you can buy it back in Twilio's Console; then anyone can buy
    it. A number with an emergency address must first be updated with ``emergency_address_sid=""``. The task fails
    without retry, before it releases any number, if the account does not own one of them, if they are more than
    ``max_releases``, or if the report cannot be written. If Twilio rejects the release of a number, the others are
    still released, and the task fails. A task that is killed resumes in its next try, and its report covers all tries.

    :param phone_numbers: SIDs (PN…) or numbers in E.164, as a list or separated by commas. Patterns are rejected.
        (templated)
    :param protect: Patterns of numbers that are never released, even if ``phone_numbers`` contains them. They match
        numbers or their names, such as ``+1800*`` or ``main-*``, and are case-insensitive. (templated)
    :param max_releases: Maximum number of releases. If there are more, no number is released. (templated)
    :param report: ``.csv`` or ``.jsonl`` file for a report with a row per number, local or in an object store, such as
        ``s3://aws_default@bucket/released.csv``. (templated)
    :param apply: Whether to release the numbers. By default, they are only reported. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource#delete-an-incomingphonenumber-resource
    """

    def __init__(
        self,
        *,
        phone_numbers: Sequence[str] | str,
        protect: Sequence[str] | str = (),
        max_releases: int | str = 10,
        report: str | None = None,
        apply: bool | str = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the selection of numbers, the patterns, the maximum and the report's path."""
        selection = values["phone_numbers"]
        if selection is not UNRESOLVED and as_list(selection):  # an upstream task may have found no number
            check_selection("phone_numbers", selection, patterns=False)
        check_patterns("protect", values["protect"])
        checks.required(max_releases=values["max_releases"])
        parse_int("max_releases", values["max_releases"], 0)
        storage.check_path("report", values["report"], storage.TABLE_FORMATS)

    def _perform(
        self,
        context: Context,
        *,
        phone_numbers: Any,
        protect: Any,
        max_releases: Any,
        report: str | None,
        apply: bool,
    ) -> list[dict[str, Any]]:
        """Release the numbers, after all checks have passed and the report has been written."""
        client, plan = self.hook.client, ReleasePlan(context)
        planned = plan.read()
        selected, missing = select(client.incoming_phone_numbers.list(), as_list(phone_numbers))
        released_earlier = _unique(planned[entry] for entry in missing if entry in planned)
        unexplained = [entry for entry in missing if entry not in planned]
        is_retry_without_store = not plan.store.durable and getattr(context.get("ti"), "try_number", 1) > 1
        if unexplained and not is_retry_without_store:
            raise unowned_error(unexplained, client.settings.account_sid, "released")
        applies = apply and not client.settings.dry_run
        pending = "to be released" if applies else "would be released"
        rows = [
            {**_number_fields(number), "outcome": "protected" if matches_any(number, as_patterns(protect)) else pending}
            for number in selected.values()
        ]
        rows += [{**row, "outcome": "released"} for row in released_earlier]
        # Without a state store, an earlier try may have released these numbers.
        rows += [{"sid" if is_sid(entry) else "phone_number": entry, "outcome": "gone"} for entry in unexplained]
        due = [row for row in rows if row["outcome"] == pending]
        releases = len(due) + len(released_earlier)
        if releases > int(max_releases):
            raise BadParameter(
                "phone_numbers",
                f"contains {releases} numbers to release, but max_releases is {max_releases}",
                "pass fewer, or raise max_releases. No number was released",
            )
        self._write_report(report, rows)
        rejected: dict[str, TwilioError] = {}
        if applies:
            plan.write({**{row["sid"]: row for row in planned.values()}, **{row["sid"]: row for row in due}})
            try:
                for row in due:
                    self._release(row, rejected)
            finally:
                self._write_report(report, rows)
        for row in rows:
            self.log.info("%s %s: %s", row.get("sid"), mask(row.get("phone_number") or ""), row["outcome"])
        if due and not apply:
            self.log.info("Releasing nothing: set apply=True to release %d numbers", len(due))
        if rejected:
            details = ", ".join(f"{sid} ({error.code or error.status})" for sid, error in rejected.items())
            raise AirflowFailException(f"{len(rejected)} of {len(due)} numbers were not released: {details}")
        return rows

    def _release(self, row: dict[str, Any], rejected: dict[str, TwilioError]) -> None:
        """Release a number, and store the outcome in its row.

        :param rejected: Permanent errors by SID, to which a rejection by Twilio is added.
        """
        try:
            self.hook.client.send(IncomingPhoneNumbers.delete(row["sid"]))
        except NotFound:
            pass  # another process has released it
        except TwilioError as error:
            if not error.permanent:
                raise
            self.log.error("Not releasing %s: %s", row["sid"], error)
            rejected[row["sid"]] = error
            row["outcome"] = "failed"
            return
        row["outcome"] = "released"

    def _write_report(self, report: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
        if report is not None:
            storage.write_table("report", report, REPORT_COLUMNS, rows, self.hook)


class ReleasePlan:
    """The numbers that a task is about to release. A later try recognizes the numbers that an earlier one released.

    :param context: The task's context. The plan is stored in its task state store, if it has one.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        from airflow_provider_twilio._airflow.state_store import permanent_store_for_task

        self.store = permanent_store_for_task(context)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the numbers that earlier tries planned to release, by SID and by phone number."""
        rows = []
        for index in range(int(self.store.get(PLAN_KEY) or 0)):
            rows += [dict(zip(NUMBER_FIELDS, entry, strict=True)) for entry in self.store.get(f"{PLAN_KEY}.{index}")]
        return {row[key]: row for row in rows for key in ("sid", "phone_number")}

    def write(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Store the numbers to release, including those of earlier tries."""
        entries = [[row[name] for name in NUMBER_FIELDS] for row in rows.values()]
        chunks = [entries[start : start + CHUNK_SIZE] for start in range(0, len(entries), CHUNK_SIZE)]
        for index, chunk in enumerate(chunks):
            self.store.set(f"{PLAN_KEY}.{index}", chunk)
        if chunks:
            self.store.set(PLAN_KEY, len(chunks))


def _number_fields(number: Mapping[str, Any]) -> dict[str, Any]:
    return {name: number.get(name) for name in NUMBER_FIELDS}


def _unique(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["sid"]: row for row in rows}.values())


def _format_changes(changes: Mapping[str, Sequence[Any]]) -> str:
    """Return the changes for a log message, with passwords in URLs masked."""
    text = ", ".join(f"{name} from {current!r} to {new!r}" for name, (current, new) in changes.items())
    return re.sub(r"//[^/@'\s]*@", "//***@", text)

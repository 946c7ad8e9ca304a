"""Many numbers at once: set them up alike, find those nobody uses, release those that are named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow import storage as files
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound, TwilioError
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import is_sid
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.client.asynchronous import AsyncClient

UPDATE = definition(IncomingPhoneNumbers.update)
COLOR = COLORS["IncomingPhoneNumbers"]
ANYWHERE = ("+14155550100", "+442079460018", "+61255500100", "+493023125000", "+33199000000", "+815012345678")
"""Numbers of many countries: a pattern that fits all of them fits every number."""
PART_OF_A_SID = r"(?i)PN[0-9a-f]*[*?[]"
EXACT = "give SIDs (PN…) or numbers in E.164, each in full"
REPORTED = ("sid", "phone_number", "friendly_name", "outcome")
CONCURRENCY = 20
"""Numbers that are looked at together."""
CHUNK_SIZE = 300
"""Numbers a value of the task state store, which may hold 64 KB."""


# ---------------------------------------------------------------- which numbers


def as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def check_patterns(name: str, value: Any) -> None:
    """Refuse a pattern that fits every number, and one of SIDs, which fit in full only."""
    if value is UNRESOLVED:
        return
    for entry in as_list(value):
        if not isinstance(entry, str) or not entry:
            raise BadParameter(name, f"has an entry that is {checks.describe(entry)}", "give texts such as '+1415*'")
        if all(fnmatchcase(number, entry) for number in ANYWHERE):
            raise BadParameter(name, f"has the pattern {entry!r}, which fits every number", "narrow it, as in '+1415*'")
        if re.match(PART_OF_A_SID, entry):
            raise BadParameter(name, f"has the pattern {entry!r}, and SIDs have no order", "give SIDs in full")


def check_chosen(name: str, value: Any, *, patterns: bool) -> None:
    """Require numbers that are named exactly or, where that may be, by a pattern."""
    if value is UNRESOLVED:
        return
    if not as_list(value):
        raise BadParameter(name, "is empty", EXACT)
    for entry in as_list(value):
        if not isinstance(entry, str):
            raise BadParameter(name, f"has an entry of type {type(entry).__name__}", EXACT)
        if is_pattern(entry):
            if not patterns:
                raise BadParameter(name, f"has the pattern {entry!r}", EXACT)
            check_patterns(name, [entry])
        elif entry[:2] == "PN" or is_sid(entry):
            checks.sid(name, entry, "PN")
        else:
            checks.required(**{name: entry})
            checks.phone_number(name, entry)


def matches_any(number: Mapping[str, Any], patterns: Iterable[str]) -> bool:
    """Tell whether a number, by itself or by its name, in whatever case, fits one of these patterns, or is its SID."""
    wanted = {pattern.casefold() for pattern in patterns}
    texts = [str(number[key]).casefold() for key in ("phone_number", "friendly_name") if number.get(key)]
    return number["sid"].casefold() in wanted or any(fnmatchcase(text, pattern) for text in texts for pattern in wanted)


def select(
    owned: Iterable[IncomingPhoneNumber], wanted: Sequence[str]
) -> tuple[dict[str, IncomingPhoneNumber], list[str]]:
    """Give the numbers that are wanted, by SID, in the order of the list, and what of it names none."""
    held = list(owned)
    by_name = {str(record[key]): record for record in held for key in ("sid", "phone_number")}
    chosen: dict[str, IncomingPhoneNumber] = {}
    missing = []
    for entry in wanted:
        if is_pattern(entry):
            found = [record for record in held if matches_any(record, [entry])]
        else:
            found = [by_name[entry]] if entry in by_name else []
        chosen |= {record.sid: record for record in found}
        if not found:
            missing.append(entry)
    return chosen, missing


def unowned_error(missing: Sequence[str], account_sid: str, done: str) -> NotFound:
    return NotFound(
        f"account {account_sid} has no number {', '.join(map(mask, missing[:10]))}"
        f"{f' nor {len(missing) - 10} more' if len(missing) > 10 else ''}; nothing was {done}. If they are another"
        " account's, give its SID as account_sid"
    )


def diff(number: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Give what setting a number up would change: each setting's value now, and then."""
    found = {}
    for name, value in settings.items():
        now = number.get(name)
        if value is not None and value != now and not (value == "" and not now):
            found[name] = [now, value]
    return found


# ---------------------------------------------------------------- the operators


class UpdateNumbersOperator(CompositeOperator, color=COLOR):
    """Set up many numbers alike. The differences are shown first, and made with ``apply``; they go to XCom.

    A number that is already as it should be is left alone, and so is what isn't given; ``""`` empties.

    :param phone_numbers: SIDs (PN…), numbers in E.164, or patterns of numbers or of their names, such as ``+1415*`` or
        ``support-*``; small letters and capitals are alike. (templated)
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
    :param apply: make the differences; otherwise they are only shown. (templated)
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require numbers, and something to set on them."""
        settings = {name: value for name, value in given.items() if name not in ("phone_numbers", "apply")}
        check_chosen("phone_numbers", given["phone_numbers"], patterns=True)
        if all(value is None for value in settings.values()):
            raise BadParameter("phone_numbers", "are given and nothing to set on them", "give sms_url, or another")
        UPDATE.check({"phone_number_sid": UNRESOLVED, **settings})

    def _perform(self, context: Context, *, phone_numbers: Any, apply: bool, **settings: Any) -> list[dict[str, Any]]:
        """Find the differences, and make them if asked to."""
        client = self.hook.client
        chosen, missing = select(client.incoming_phone_numbers.list(), as_list(phone_numbers))
        if missing:
            raise unowned_error(missing, client.settings.account_sid, "changed")
        shown: list[dict[str, Any]] = []
        applies = apply and not client.settings.dry_run
        for number in chosen.values():
            changes = diff(number, settings)
            if not changes:
                continue
            self.log.info("%s %s: %s", number.sid, mask(number.phone_number or ""), _told(changes))
            shown.append(
                {
                    "sid": number.sid,
                    "phone_number": number.phone_number,
                    "friendly_name": number.friendly_name,
                    "changes": changes,
                    "applied": applies,
                }
            )
        if apply:
            for row in shown:
                changed = {name: then for name, (_, then) in row["changes"].items()}
                client.send(IncomingPhoneNumbers.update(row["sid"], **changed))
        told = "changed" if applies else "would change" if apply else "would change: set apply=True to change them"
        self.log.info("%d of %d numbers %s", len(shown), len(chosen), told)
        return shown


class FindIdleNumbersOperator(CompositeOperator, color=COLOR):
    """Find numbers without any traffic, in or out, messages or calls, and what they cost. They go to XCom.

    Failed messages and calls count as traffic, and those over WhatsApp. A number is not judged before it has been there
    for as long, by its ``date_created``; one that was moved here from another account may have been made long before,
    and its traffic there isn't seen: protect it. Each number is asked for by itself: nine requests for one that is
    idle, often one for another. The list of all that an idle one ever sent is read whole, since Twilio can't filter
    what never went out by a date.

    :param days: how many days without traffic make a number idle, 1 to 400. (templated)
    :param protect: patterns of numbers, or of their names, that are never idle, such as ``+1800*`` or ``reserve-*``;
        small letters and capitals are alike. (templated)
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require an age that Twilio's lists reach back to."""
        checks.required(days=given["days"])
        parse_int("days", given["days"], 1, 400)
        check_patterns("protect", given["protect"])

    def _perform(self, context: Context, *, days: Any, protect: Any) -> list[dict[str, Any]]:
        """Look at each number, some at a time."""
        since = datetime.now(UTC) - timedelta(days=int(days))
        hook = self.hook
        owned = list(hook.incoming_phone_numbers.list())
        judged = [number for number in owned if not matches_any(number, as_list(protect)) and _before(number, since)]
        idle = self._run_in_background(self._idle(judged, since))
        rents = self._rents() if idle else {}
        found = [
            {
                "sid": number.sid,
                "phone_number": number.phone_number,
                "friendly_name": number.friendly_name,
                "type": number.type,
                "since": str(number["date_created"]),
                "monthly_price": rents.get(_category(number)),
            }
            for number in idle
        ]
        prices = [Decimal(row["monthly_price"]) for row in found if row["monthly_price"]]
        self.log.info(
            "%d of %d numbers had no traffic in %s days (%d not judged); they cost about %s a month",
            len(idle), len(owned), days, len(owned) - len(judged), sum(prices, Decimal()),
        )  # fmt: skip
        return found

    async def _idle(self, numbers: Sequence[IncomingPhoneNumber], since: datetime) -> list[IncomingPhoneNumber]:
        async with self.hook.aclient(concurrency=CONCURRENCY) as client:
            gate = asyncio.Semaphore(CONCURRENCY)

            async def used(number: IncomingPhoneNumber) -> bool:
                async with gate:
                    return await _is_used(client, str(number.phone_number), since)

            found = await asyncio.gather(*map(used, numbers))
        return [number for number, busy in zip(numbers, found, strict=True) if not busy]

    def _rents(self) -> dict[str, str]:
        """Give what a number of each kind costs a month, by what was charged for them in the last one."""
        listed = self.hook.usage_records.list(start="-31days", end="-0days", include_subaccounts=False)
        return {
            str(record.category): f"{record.price / record.count:.2f}"
            for record in listed
            if str(record.category).startswith("phonenumbers") and record.count and record.price is not None
        }


class ReleaseNumbersOperator(CompositeOperator, color=COLOR):
    """Release numbers, each named exactly, with ``apply``. What became of each goes to XCom, and into the report.

    It can't be undone: anyone may buy the numbers next. Nothing is released if any of them isn't the account's, if they
    are too many, or if the report can't be written. Where Twilio refuses one, the others are released, and then the
    task fails. A task that is killed goes on where it was, and its report tells of all.

    :param phone_numbers: SIDs (PN…) or numbers in E.164. (templated)
    :param protect: patterns of numbers, or of their names, that are never released, whoever names them, such as
        ``+1800*`` or ``main-*``; small letters and capitals are alike. (templated)
    :param max_releases: how many may be released; if there are more, none is. (templated)
    :param report: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, such as
        ``s3://aws_default@bucket/released.csv``. (templated)
    :param apply: release them; otherwise the report tells what would be. (templated)
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require exact names, and bounds."""
        value = given["phone_numbers"]
        if value is not UNRESOLVED and as_list(value):  # a list that a task has found empty is nothing to do
            check_chosen("phone_numbers", value, patterns=False)
        check_patterns("protect", given["protect"])
        checks.required(max_releases=given["max_releases"])
        parse_int("max_releases", given["max_releases"], 0)
        files.check_path("report", given["report"], files.TABLE_FORMATS)

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
        """Release what is to be released, after all that could forbid it has been asked."""
        client, plan = self.hook.client, ReleasePlan(context)
        before = plan.read()
        chosen, missing = select(client.incoming_phone_numbers.list(), as_list(phone_numbers))
        gone = [before.get(entry) for entry in missing]
        again = plan.memory.durable or getattr(context.get("ti"), "try_number", 1) < 2
        if again and not all(gone):
            unknown = [entry for entry, row in zip(missing, gone, strict=True) if row is None]
            raise unowned_error(unknown, client.settings.account_sid, "released")
        applies = apply and not client.settings.dry_run
        pending = "to be released" if applies else "would be released"
        rows = [
            {**_row(number), "outcome": "protected" if matches_any(number, as_list(protect)) else pending}
            for number in chosen.values()
        ]
        rows += [{**row, "outcome": "released"} for row in _unique(gone)]
        if not again:  # nothing is remembered: an earlier try may have released them
            rows += [
                {"sid" if is_sid(name) else "phone_number": name, "outcome": "gone"}
                for name, row in zip(missing, gone, strict=True)
                if row is None
            ]
        due = [row for row in rows if row["outcome"] == pending]
        many = len(due) + sum(row["outcome"] == "released" for row in rows)
        if many > int(max_releases):
            raise BadParameter("phone_numbers", f"name {many} numbers to release", f"max_releases is {max_releases}")
        self._report(report, rows)
        refused: dict[str, TwilioError] = {}
        if applies:
            plan.write({**{row["sid"]: row for row in before.values()}, **{row["sid"]: row for row in due}})
            try:
                for row in due:
                    self._release(row, refused)
            finally:
                self._report(report, rows)
        for row in rows:
            self.log.info("%s %s: %s", row.get("sid"), mask(row.get("phone_number") or ""), row["outcome"])
        if due and not apply:
            self.log.info("Nothing was released: set apply=True to release %d numbers", len(due))
        if refused:
            named = ", ".join(f"{sid} ({error.code or error.status})" for sid, error in refused.items())
            raise AirflowFailException(f"{len(refused)} of {len(due)} numbers were not released: {named}")
        return rows

    def _release(self, row: dict[str, Any], refused: dict[str, TwilioError]) -> None:
        try:
            self.hook.client.send(IncomingPhoneNumbers.delete(row["sid"]))
        except NotFound:
            pass  # somebody else was quicker: it is gone, as it was to be
        except TwilioError as error:
            if not error.permanent:
                raise
            self.log.error("%s", error)
            refused[row["sid"]] = error
            row["outcome"] = "failed"
            return
        row["outcome"] = "released"

    def _report(self, report: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
        if report is not None:
            files.write_table("report", report, REPORTED, rows, self.hook)


class ReleasePlan:
    """Remember which numbers a task is about to release, so that a later try knows those that are gone for its own."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        from airflow_provider_twilio.runtime.state_store import store_for_task

        self.memory = store_for_task(context)

    def read(self) -> dict[str, dict[str, Any]]:
        """Give the numbers planned before, by SID and by number."""
        rows = []
        for at in range(int(self.memory.get("twilio_release") or 0)):
            rows += [dict(zip(REPORTED, entry, strict=False)) for entry in self.memory.get(f"twilio_release.{at}")]
        return {row[key]: row for row in rows for key in ("sid", "phone_number")}

    def write(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        entries = [[row[name] for name in REPORTED[:3]] for row in rows.values()]
        chunks = [entries[at : at + CHUNK_SIZE] for at in range(0, len(entries), CHUNK_SIZE)]
        for at, chunk in enumerate(chunks):
            self.memory.set(f"twilio_release.{at}", chunk)
        if chunks:
            self.memory.set("twilio_release", len(chunks))


def _row(number: Mapping[str, Any]) -> dict[str, Any]:
    return {name: number.get(name) for name in REPORTED[:3]}


def _unique(rows: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    return list({row["sid"]: row for row in rows if row is not None}.values())


def _told(changes: Mapping[str, Sequence[Any]]) -> str:
    """Say it, without the password that a webhook's address may carry."""
    told = ", ".join(f"{name} from {now!r} to {then!r}" for name, (now, then) in changes.items())
    return re.sub(r"//[^/@'\s]*@", "//***@", told)


# ---------------------------------------------------------------- idleness


def _before(number: IncomingPhoneNumber, since: datetime) -> bool:
    return number.date_created is not None and number.date_created <= since


def _category(number: IncomingPhoneNumber) -> str:
    return f"phonenumbers-{str(number.type).replace(' ', '')}"


async def _is_used(client: AsyncClient, number: str, since: datetime) -> bool:
    """Tell whether a number has had any traffic since then."""
    addresses = (number, f"whatsapp:{number}")
    for address in addresses:
        if await _any(client.messages.list(to=address, date_sent_after=since, limit=1)):
            return True
        if await _any(client.messages.list(from_=address, date_sent_after=since, limit=1)):
            return True
    if await _any(client.calls.list(to=number, start_time_after=since, limit=1)):
        return True
    if await _any(client.calls.list(from_=number, start_time_after=since, limit=1)):
        return True
    # What never went out has no date to filter by, and may stand anywhere in the list.
    for address in addresses:
        if await _any(_made_since(client.messages.list(from_=address), since)):
            return True
    return await _any(_made_since(client.calls.list(from_=number), since))


async def _made_since(records: AsyncIterator[Any], since: datetime) -> AsyncIterator[Any]:
    async for record in records:
        if record.date_created is not None and record.date_created >= since:
            yield record


async def _any(records: AsyncIterator[Any]) -> bool:
    async for _ in records:
        return True
    return False

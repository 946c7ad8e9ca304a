"""Logs written to files by day: every SID once, and late prices filled in, in any order of Twilio's lists."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, lineage
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.transfers import _tables as tables
from airflow_provider_twilio.transfers.storage import CallsToStorageOperator, MessagesToStorageOperator

Run = Callable[..., Any]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
OWNED, FAILS = "+15005550006", "+15005559007"

INVALID_ARGUMENTS = [
    ({"path": ""}, "path is missing"),
    ({"path": "/tmp/a", "file_format": "xml"}, "file_format is not an allowed value"),
    ({"path": "/tmp/a", "look_back": -1}, "look_back is -1"),
    ({"path": "/tmp/a", "start": "2026-01-01"}, "start is given without end"),
    ({"path": "/tmp/a", "end": "2026-01-01"}, "end is given without start"),
    ({"path": "/tmp/a", "include_body": "perhaps"}, "include_body is not true or false"),
]


@pytest.mark.parametrize(("arguments", "fault"), INVALID_ARGUMENTS)
@pytest.mark.parametrize("operator", [MessagesToStorageOperator, CallsToStorageOperator])
def test_logs_to_storage_with_invalid_argument_raises_when_parsed(
    emulator: Emulator, operator: type[Any], arguments: dict[str, Any], fault: str
):
    if operator is CallsToStorageOperator and "include_body" in arguments:
        pytest.skip("calls have no body")
    with pytest.raises(BadParameter, match=fault):
        operator(task_id="task", **arguments)
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("operator", [MessagesToStorageOperator, CallsToStorageOperator])
def test_logs_to_storage_parameters_are_templated_and_described(operator: type[Any]):
    text = operator.__doc__ or ""
    names = operator.template_fields
    assert {"path", "file_format", "start", "end", "look_back", "include_unsent"} <= set(names)
    assert [name for name in names if f":param {name}: " not in text] == []
    assert text.count("(templated)") == len(names)


@pytest.mark.parametrize(
    ("start", "end", "fault"),
    [
        ("{{ none }}", "2026-01-02", "None"),
        ("soon", "2026-01-02", "start is not an ISO 8601 time"),
        ("2026-01-01T00:00:00", "2026-01-02", "start is a datetime without a time zone"),
        ("2026-01-02", "2026-01-02", "span no time"),
        ("2026-01-03", "2026-01-02", "span no time"),
        (str(TODAY.date() + timedelta(days=3)), str(TODAY.date() + timedelta(days=4)), "start is in the future"),
        (
            str(TODAY.date() - timedelta(days=402)),
            "{{ ds }}",
            "start is 40. days ago: pass a later start: .* 400 days",
        ),
    ],
)
def test_logs_to_storage_with_invalid_range_fails_without_requests(
    run: Run, emulator: Emulator, tmp_path: Path, start: str, end: str, fault: str
):
    with pytest.raises(AirflowFailException, match=fault):
        run(MessagesToStorageOperator, {"ds": str(TODAY.date())}, path=str(tmp_path), start=start, end=end)
    assert len(emulator.journal) == 0
    assert list(tmp_path.iterdir()) == []


def test_logs_to_storage_without_data_interval_writes_previous_day(run: Run, emulator: Emulator, tmp_path: Path):
    class DagRun:
        run_after = TODAY - timedelta(days=3) + timedelta(hours=1)

    def days_of(**context: Any) -> Any:
        return run(MessagesToStorageOperator, context, path=str(tmp_path), look_back=0)["days"]

    def yesterday() -> str:
        return f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"

    before_the_run = [f"{TODAY - timedelta(days=4):%Y-%m-%d}"]
    assert days_of(dag_run=DagRun()) == before_the_run
    assert days_of(dag_run=DagRun(), data_interval_start=TODAY, data_interval_end=TODAY) == before_the_run
    then = yesterday()
    found = [days_of(), days_of(data_interval_start=TODAY, data_interval_end=TODAY)]
    assert all(days in ([then], [yesterday()]) for days in found)  # midnight may have passed meanwhile


def test_logs_to_storage_leaves_unknown_file_unchanged(run: Run, emulator: Emulator, tmp_path: Path):
    day = str(TODAY.date())
    for text in ('{"a": 1}\n', "no json"):
        (tmp_path / f"{day}.jsonl").write_text(text)
        with pytest.raises(AirflowFailException, match="contains a file that this operator has not written"):
            run(MessagesToStorageOperator, path=str(tmp_path), start=day, end=str(TODAY.date() + timedelta(days=1)))
        assert (tmp_path / f"{day}.jsonl").read_text() == text


def records(folder: Path, file_format: str, columns: tables.Columns) -> dict[str, list[dict[str, Any]]]:
    """Return the records of all files, by the day in the file's name."""
    return {
        file.stem: [dict(zip(columns, row, strict=True)) for row in tables.read(file, columns)]
        for file in sorted(folder.glob(f"*.{file_format}"))
    }


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_messages_to_storage_fills_in_prices_a_day_late(
    run: Run, emulator: Emulator, tmp_path: Path, unsent: str, file_format: str
):
    """Send messages each day, and write them the night after, when Twilio has no prices for them yet."""
    emulator.quirks.set(unsent=unsent, price_lag=86_400)
    hook, sent, failed = TwilioHook(), set[str](), set[str]()
    service = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "s"})["sid"]
    number = emulator.numbers[0]["sid"]
    hook.request("POST", f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers", {"PhoneNumberSid": number})
    nulls = []
    for days_ago in (4, 3, 2, 1, 0):
        day = TODAY - timedelta(days=days_ago)
        for hour in (1, 12, 23) if days_ago > 1 else ():
            emulator.clock.freeze(day + timedelta(hours=hour))
            sent |= {hook.messages.create(to="+14155550123", from_=OWNED, body="hi").sid for _ in range(3)}
            failed |= {hook.messages.create(to=FAILS, from_=OWNED, body="hi").sid for _ in range(2)}
        if days_ago == 4:  # created today and sent two days later: it still belongs to today's file
            at = day + timedelta(days=1, hours=23, minutes=30)
            fixed = {"To": "+14155550123", "Body": "hi", "ScheduleType": "fixed", "SendAt": at}
            sent.add(hook.request("POST", "Messages", {**fixed, "MessagingServiceSid": service})["sid"])
        emulator.clock.freeze(day + timedelta(days=1, seconds=1))
        context = {"data_interval_start": day, "data_interval_end": day + timedelta(days=1)}
        result = run(
            MessagesToStorageOperator, context, path=str(tmp_path), file_format=file_format, look_back="{{ 3 }}"
        )
        assert result["days"][-1] == f"{day:%Y-%m-%d}"
        written = records(tmp_path, file_format, tables.columns_of(Message, ("body",)))
        rows = [row for day_rows in written.values() for row in day_rows]
        assert Counter(row["sid"] for row in rows) == dict.fromkeys(sent | failed, 1)
        nulls.append(sum(row["price"] is None for row in rows if row["sid"] in sent))
    assert nulls == [10, 10, 9, 0, 0]
    for name, day_rows in written.items():
        assert {row["date_created"][:10] for row in day_rows} <= {name}
        assert day_rows == sorted(day_rows, key=lambda row: (row["date_created"], row["sid"]))
    assert {row["status"] for row in rows if row["sid"] in failed} == {"failed"}
    assert {Decimal(row["price"]) for row in rows if row["sid"] in sent} == {Decimal("-0.0083")}
    assert result["written"] == {str(tmp_path / f"{TODAY:%Y-%m-%d}.{file_format}"): 0}  # no other file has changed


def test_messages_to_storage_keeps_deleted_records_without_bodies(run: Run, emulator: Emulator, tmp_path: Path):
    hook = TwilioHook()
    emulator.clock.freeze(TODAY - timedelta(hours=5))
    deleted, redacted = (hook.messages.create(to="+14155550123", from_=OWNED, body="secret").sid for _ in range(2))
    emulator.clock.reset()
    arguments = {"path": str(tmp_path), "start": str((TODAY - timedelta(days=1)).date()), "end": str(TODAY.date())}
    run(MessagesToStorageOperator, **arguments)
    hook.messages.delete(deleted)
    hook.messages.update(redacted, body="")
    result = run(MessagesToStorageOperator, **arguments)
    (file,) = tmp_path.glob(f"{arguments['start']}.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["sid"] for line in lines} == {deleted, redacted}
    assert "secret" not in file.read_text()
    assert result["records"] == 2
    run(MessagesToStorageOperator, **{**arguments, "path": f"file://{tmp_path}/with_bodies"}, include_body="True")
    assert "body" in (tmp_path / "with_bodies" / file.name).read_text()


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_messages_to_storage_with_bodies_keeps_redacted_ones(
    run: Run, emulator: Emulator, tmp_path: Path, file_format: str
):
    hook = TwilioHook()
    emulator.clock.freeze(TODAY - timedelta(hours=5))
    bodies = {hook.messages.create(to="+14155550123", from_=OWNED, body=body).sid: body for body in ("ünd\n1", "2")}
    emulator.clock.reset()
    day = str((TODAY - timedelta(days=1)).date())
    arguments = {
        "path": str(tmp_path),
        "start": day,
        "end": str(TODAY.date()),
        "look_back": 0,
        "file_format": file_format,
    }
    columns = tables.columns_of(Message)
    result = run(MessagesToStorageOperator, **arguments, include_body=True)
    assert list(result["written"].values()) == [2]
    redacted, changed = bodies
    for sid in bodies:
        hook.messages.update(sid, body="")
    result = run(MessagesToStorageOperator, **arguments, include_body=True)
    assert {row["sid"]: row["body"] for row in records(tmp_path, file_format, columns)[day]} == bodies
    emulator.set_message_status(changed, "undelivered")
    result = run(MessagesToStorageOperator, **arguments, include_body=True)
    assert list(result["written"].values()) == [1]
    rows = {row["sid"]: row for row in records(tmp_path, file_format, columns)[day]}
    assert {sid: row["body"] for sid, row in rows.items()} == bodies
    assert (rows[changed]["status"], rows[redacted]["status"]) == ("undelivered", "delivered")


def test_calls_to_storage_includes_calls_that_never_started(run: Run, emulator: Emulator, tmp_path: Path):
    hook = TwilioHook()
    emulator.clock.freeze(TODAY - timedelta(hours=5))
    sids = {
        hook.calls.create(to=to, from_=OWNED, twiml="<Response><Pause length='70'/></Response>").sid
        for to in ("+14155550123", "+15005559101", "+15005559109")
    }
    emulator.clock.reset()
    day = str((TODAY - timedelta(days=1)).date())
    result = run(CallsToStorageOperator, path=str(tmp_path), start=day, end=str(TODAY.date()), look_back=0)
    (file,) = tmp_path.iterdir()
    lines = {line["sid"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert lines.keys() == sids
    assert max(line["price"] or "" for line in lines.values()).startswith("-0.0")
    assert result["written"] == {str(file): 3}


def test_logs_to_storage_reports_lineage(run: Run, emulator: Emulator, tmp_path: Path):
    collector = lineage()
    day = str((TODAY - timedelta(days=1)).date())
    run(MessagesToStorageOperator, path=str(tmp_path), start=day, end=str(TODAY.date()), look_back=0)
    uris = {output.asset.uri for output in collector.collected_assets.outputs}
    assert f"file://{tmp_path}/{day}.jsonl" in uris or collector.__class__.__name__.startswith("NoOp")


def test_logs_to_storage_leaves_file_unchanged_after_error(run: Run, emulator: Emulator, tmp_path: Path):
    hook = TwilioHook()
    emulator.clock.freeze(TODAY - timedelta(hours=5))
    hook.messages.create(to="+14155550123", from_=OWNED, body="a")
    emulator.clock.reset()
    arguments = {"path": str(tmp_path), "start": str((TODAY - timedelta(days=1)).date()), "end": str(TODAY.date())}
    run(MessagesToStorageOperator, **arguments, look_back=0)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    emulator.fail_next(50, status=403, method="GET", path="Messages")
    with pytest.raises(AirflowFailException):
        run(MessagesToStorageOperator, **arguments, look_back=0)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize("file_format", tables.FILE_FORMATS)
def test_messages_to_storage_with_invalid_values_logs_sid_and_field(
    run: Run,
    emulator: Emulator,
    tmp_path: Path,
    file_format: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    hook = TwilioHook()
    sids = [hook.messages.create(to="+14155550101", from_=OWNED, body=str(number)).sid for number in range(3)]
    changes = [{"price": "free"}, {"date_created": "yesterday"}, {"price": "-0", "date_sent": "0000"}]
    iter_records = type(hook.client).iter_records

    def iter_changed(client: Any, listing: Any) -> Any:
        for record in iter_records(client, listing):
            yield Message({**record, **changes[sids.index(record["sid"])]})

    monkeypatch.setattr(type(hook.client), "iter_records", iter_changed)
    day, next_day = str(TODAY.date()), str(TODAY.date() + timedelta(days=1))
    arguments = {"path": str(tmp_path), "start": day, "end": next_day, "file_format": file_format, "look_back": 0}
    result = run(MessagesToStorageOperator, **arguments)
    log = capsys.readouterr().out
    assert result["records"] == 2
    for sid, field in ((sids[0], "price is not"), (sids[1], "date_created is not"), (sids[2], "date_sent is not")):
        assert re.search(rf"{sid}: (Message\.)?{field}", log)
    assert "free" not in log
    assert "yesterday" not in log
    assert run(MessagesToStorageOperator, **arguments)["written"] == {}

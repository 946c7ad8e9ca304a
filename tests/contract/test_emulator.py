"""Hold the emulator's answers against Twilio's own description, by the tables that scripts/make_facts.py writes.

`make contract` does the same with the description itself, as Prism reads it; this needs no Node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, app, serve
from tests.contract.walk import walk

HERE = Path(__file__).parent
FACTS: dict[str, dict[str, Any]] = {
    name: facts
    for table in ("facts.json", "further.json")
    for name, facts in json.loads((HERE / table).read_text(encoding="utf-8")).items()
}
DESCRIPTION = HERE.parents[2] / "shared" / "openapi" / "twilio_api_v2010.json"

# Where the examples in Twilio's description contradict its schema, the example wins: {field: (what, why)}.
EXAMPLE_WINS: dict[tuple[str, str], tuple[str, str]] = {
    ("ListAvailablePhoneNumber", "friendly_name"): ("format", "it is the number as people write it: (808) 925-1571"),
    ("ListAvailablePhoneNumber", "latitude"): ("type", "coordinates are strings: '19.720000'"),
    ("ListAvailablePhoneNumber", "longitude"): ("type", "coordinates are strings"),
    ("AvailablePhoneNumberCountry", "uri"): ("format", "it is relative, as everywhere"),
    ("ListUsageRecord", "price"): ("type", "amounts are strings everywhere: '2192.84855'"),
    ("ListUsageRecord", "price_unit"): ("format", "usage says 'usd', where messages say 'USD'"),
    **{
        ("IncomingPhoneNumber", field): (rule, "an address or SID that is not set is '', not null")
        for field, rule in {
            "sms_application_sid": "pattern",
            "voice_application_sid": "pattern",
            "sms_url": "format",
            "sms_fallback_url": "format",
            "status_callback": "format",
        }.items()
    },
}

# Where captures of real answers, or what the field is for, go against the schema.
CAPTURE_WINS: dict[tuple[str, str], tuple[str, str]] = {
    ("Message", "from"): ("format", "whatsapp:+1…, alphanumeric senders and short codes are no phone numbers"),
}

# The description has two good statuses here; this is the one that is not in the table.
ALSO = {"CreateCallRecording": 201}

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "boolean": bool, "number": (int, float), "object": dict, "array": list,
}  # fmt: skip
PAGE: dict[str, type] = {"page": int, "page_size": int, "start": int, "end": int, "uri": str, "first_page_uri": str}
BESIDE = {*PAGE, "next_page_uri", "previous_page_uri"}
UNPAGED = "ListAvailablePhoneNumber"
UNSOLD = {f"ListAvailablePhoneNumber{kind}" for kind in ("Voip", "SharedCost", "MachineToMachine")}
"""Of these kinds there are no numbers in any country: the answer is a 404."""


def wins(name: str, field: str) -> str | None:
    """Say which rule of the schema does not hold for a field."""
    for table in (EXAMPLE_WINS, CAPTURE_WINS):
        for (operation, known), (rule, _) in table.items():
            if known == field and operation in name:
                return rule
    return None


def wrong(fact: dict[str, Any], value: Any) -> str | None:
    """Say which rule of the schema a value breaks."""
    if value is None:  # everything can be null: nothing is required, and examples are full of nulls
        return None
    kind = fact.get("type")
    if kind is not None and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        return "type"
    if "pattern" in fact and not re.search(fact["pattern"], value):
        return "pattern"
    if "enum" in fact and value not in fact["enum"]:
        return "enum"
    if "format" in fact and not _formatted(fact["format"], value):
        return "format"
    return None


def _formatted(name: str, value: Any) -> bool:
    if name == "date-time-rfc-2822":
        return re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", value) is not None and bool(
            parsedate_to_datetime(value)
        )
    if name == "uri-map":
        return all(isinstance(uri, str) and uri.startswith("/2010-04-01/Accounts/AC") for uri in value.values())
    if name == "phone-number-capabilities":
        return {"voice", "sms", "mms"} <= set(value) <= {"voice", "sms", "mms", "fax"} and all(
            isinstance(able, bool) for able in value.values()
        )
    pattern = {
        "uri": r"https?://[^/\s]+(/\S*)?",
        "date": r"\d{4}-\d\d-\d\d",
        "currency": r"[A-Z]{3}",
        "phone-number": r"\+[1-9]\d{6,14}",
        "iso-country-code": r"[A-Z]{2}",
        "http-method": r"GET|POST",
    }[name]
    return re.fullmatch(pattern, value) is not None


def broken(name: str, answer: requests.Response) -> Iterator[str]:
    """Give all that is wrong with an answer."""
    facts = FACTS[name]
    if answer.status_code not in (facts["status"], ALSO.get(name)):
        yield f"status {answer.status_code}, not {facts['status']}"
    if "record" not in facts:
        if answer.content:
            yield "an answer without content has some"
        return
    if answer.headers["Content-Type"] != "application/json":
        yield f"content type {answer.headers['Content-Type']}"
    body = answer.json()
    records = [body]
    if "key" in facts:
        records = body[facts["key"]]
        paged = not name.startswith(UNPAGED)
        if set(body) != ({facts["key"], *BESIDE} if paged else {facts["key"], "uri"}):
            yield f"a list has {sorted(body)}"
        for field, kind in PAGE.items() if paged else ():
            if type(body[field]) is not kind:
                yield f"{field} is {body[field]!r}"
        for field in BESIDE & set(body):
            if field.endswith("uri") and body[field] is not None and not body[field].startswith("/2010-04-01/"):
                yield f"{field} is {body[field]!r}"
    for record in records:
        if missing := set(facts["record"]) - set(record):
            yield f"{sorted(missing)} missing"
        if extra := set(record) - set(facts["record"]):
            yield f"{sorted(extra)} not documented"
        for field, fact in facts["record"].items():
            rule = wrong(fact, record.get(field))
            if rule is not None and rule != wins(name, field):
                yield f"{field} breaks {rule}: {record[field]!r}"


def operation(method: str, path: str) -> str:
    """Name the operation of a request; a path without a variable goes before one with."""
    return next(
        name
        for name, facts in sorted(FACTS.items(), key=lambda item: item[1]["path"].count("{"))
        if facts["method"] == method and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(facts["path"])), path)
    )


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve() as running:
        running.clock.freeze()
        yield running


@pytest.fixture(scope="module")
def session(emulator: Emulator) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = (emulator.account_sid, emulator.auth_token)
        yield session


@pytest.fixture(scope="module")
def answers(emulator: Emulator, session: requests.Session) -> dict[str, list[requests.Response]]:
    """The answers to a walk through the whole API, by operation."""
    found: dict[str, list[requests.Response]] = {}

    def ask(method: str, path: str, /, **params: Any) -> Any:
        where: dict[str, Any] = {"data" if method == "POST" else "params": params or None}
        answer = session.request(method, emulator.url + path, timeout=10, **where)
        assert answer.ok, f"{method} {path} {params}: {answer.text}"
        found.setdefault(operation(method, urlsplit(path).path), []).append(answer)
        return answer.json() if answer.content else None

    for sender in ("+14155550199", "whatsapp:+14155550199"):
        emulator.receive_message("hi", from_=sender)
    for _ in walk(ask, emulator.account_sid, emulator.phone_number, emulator.clock.advance):
        pass
    return found


@pytest.mark.parametrize("name", sorted(FACTS))
def test_every_answer_is_as_described(answers: dict[str, list[requests.Response]], name: str) -> None:
    if name in UNSOLD:
        assert name not in answers
        return
    assert {trouble for answer in answers[name] for trouble in broken(name, answer)} == set()


def test_every_list_was_seen_with_records_and_every_status_once(
    answers: dict[str, list[requests.Response]],
) -> None:
    for name, found in answers.items():
        if "key" in FACTS[name]:
            assert any(answer.json()[FACTS[name]["key"]] for answer in found), name
    seen = {answer.json()["status"] for answer in answers["FetchMessage"]}
    assert seen >= {"queued", "sending", "sent", "delivered", "undelivered", "failed"}
    seen = {answer.json()["status"] for answer in answers["FetchCall"]}
    assert seen >= set(FACTS["FetchCall"]["record"]["status"]["enum"]) - {"canceled"}
    seen = {record["status"] for answer in answers["ListRecording"] for record in answer.json()["recordings"]}
    assert seen >= {"in-progress", "completed"}


def test_every_route_but_the_neighbours_is_described() -> None:
    described = {re.sub(r"\{\w+\}", "{}", facts["path"]) + facts["method"] for facts in FACTS.values()}
    own = "/2010-04-01/Accounts/{}/"
    served = {f"{own}{route}.json{method}" for route, methods in app.RESOURCE_ROUTES.items() for method in methods}
    served |= {
        f"/2010-04-01/Accounts{'/' if route else ''}{route}.json{method}"
        for route, methods in app.ACCOUNT_ROUTES.items()
        for method in methods
    }
    assert served == described


# What each kind of parameter can't be.
NONSENSE = {"integer": "some", "boolean": "maybe", "number": "much"}
FORMATS = {"date": "soon", "date-time": "soon", "uri": "no where"}
GOOD: dict[str, dict[str, Any]] = {
    "CreateMessage": {"To": "+14155550100", "From": "+15005550006", "Body": "x"},
    "CreateCall": {"To": "+14155550100", "From": "+15005550006", "Twiml": "<Response/>"},
    "UpdateCall": {"TimeLimit": "100"},
    "CreateIncomingPhoneNumber": {"AreaCode": "415"},
    "UpdateCallRecording": {"Status": "paused"},
}
CASES = [
    (name, parameter, nonsense)
    for name, facts in sorted(FACTS.items())
    if name not in UNSOLD
    for parameter, fact in facts["sent"].items()
    if parameter not in ("Page", "PageToken", "PageSize")
    for nonsense in [
        NONSENSE.get(fact["type"])
        or FORMATS.get(fact.get("format", ""))
        or ("none of them" if "enum" in fact else None)
        or ("nonsense" if "pattern" in fact else None)
    ]
    if nonsense is not None
]


@pytest.fixture(scope="module")
def sids(emulator: Emulator, session: requests.Session) -> dict[str, str]:
    """What a path's variable can stand for, by the path's resource."""
    form = {"To": "+15005559105", "From": emulator.phone_number, "Twiml": "<Response/>", "Record": "true"}
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}"
    call = session.post(f"{url}/Calls.json", form).json()["sid"]
    emulator.clock.advance(5)
    return {
        "Messages": emulator.receive_message("hi", from_="+14155550199"),
        "Calls": call,
        "Recordings": session.get(f"{url}/Recordings.json", params={"CallSid": call}).json()["recordings"][0]["sid"],
        "IncomingPhoneNumbers": emulator.numbers[0]["sid"],
        "Accounts": emulator.account_sid,
    }


@pytest.mark.parametrize(("name", "parameter", "nonsense"), CASES)
def test_every_parameter_is_read(
    emulator: Emulator, session: requests.Session, sids: dict[str, str], name: str, parameter: str, nonsense: str
) -> None:
    facts = FACTS[name]
    path = re.sub(r"(\w+)/\{\w*Sid\}", lambda found: f"{found[1]}/{sids[found[1]]}", facts["path"])
    path = path.replace("{CountryCode}", "GB" if path.endswith(("Mobile.json", "National.json")) else "US")
    form = GOOD.get(name, {}) | {parameter: nonsense}
    where: dict[str, Any] = {"data" if facts["method"] == "POST" else "params": form}
    answer = session.request(facts["method"], emulator.url + path, timeout=10, **where)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["code"] != 20404


@pytest.mark.skipif(not DESCRIPTION.exists(), reason="Twilio's description is not here")
def test_the_places_where_examples_win_are_in_the_description() -> None:
    document = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    seen: set[tuple[str, str]] = set()
    for path in document["paths"].values():
        for item in path.values():
            if not isinstance(item, dict) or (name := item.get("operationId")) not in FACTS:
                continue
            facts = FACTS[name]
            for content in item["responses"].get(str(facts["status"]), {}).get("content", {}).values():
                for example in content.get("examples", {}).values():
                    value = example["value"]
                    for record in value.get(facts["key"], []) if "key" in facts else [value]:
                        for field, fact in facts.get("record", {}).items():
                            if (rule := wrong(fact, record.get(field))) is not None:
                                seen |= {
                                    known
                                    for known, (broken_rule, _) in EXAMPLE_WINS.items()
                                    if known[0] in name and known[1] == field and broken_rule == rule
                                }
    assert seen == set(EXAMPLE_WINS)

"""Compare the emulator's responses with facts about Twilio's API.

scripts/make_facts.py extracts the facts from Twilio's description.

`make contract` validates them against the description itself, with Prism. These tests need no Node.js.
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

# Where an example in Twilio's description contradicts its schema, the example is right: {field: (rule, reason)}.
EXAMPLE_EXCEPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("ListAvailablePhoneNumber", "friendly_name"): ("format", "the number as people write it: (808) 925-1571"),
    ("ListAvailablePhoneNumber", "latitude"): ("type", "coordinates are strings: '19.720000'"),
    ("ListAvailablePhoneNumber", "longitude"): ("type", "coordinates are strings"),
    ("AvailablePhoneNumberCountry", "uri"): ("format", "a relative URI, as everywhere"),
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

# Where captured responses, or the purpose of the field, contradict the schema.
CAPTURE_EXCEPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("Message", "from"): ("format", "channel addresses, alphanumeric senders and short codes are not phone numbers"),
}

# The description has two success statuses here; this is the one that is not in the table.
OTHER_STATUSES = {"CreateCallRecording": 201}

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "boolean": bool, "number": (int, float), "object": dict, "array": list,
}  # fmt: skip
PAGE: dict[str, type] = {"page": int, "page_size": int, "start": int, "end": int, "uri": str, "first_page_uri": str}
PAGE_FIELDS = {*PAGE, "next_page_uri", "previous_page_uri"}
UNPAGINATED = "ListAvailablePhoneNumber"
UNSOLD = {f"ListAvailablePhoneNumber{kind}" for kind in ("Voip", "SharedCost", "MachineToMachine")}
"""No country has numbers of these types: the response is a 404."""


def excepted_rule(name: str, field: str) -> str | None:
    """Return the rule of the schema that a field is exempt from."""
    for table in (EXAMPLE_EXCEPTIONS, CAPTURE_EXCEPTIONS):
        for (operation, known), (rule, _) in table.items():
            if known == field and operation in name:
                return rule
    return None


def broken_rule(fact: dict[str, Any], value: Any) -> str | None:
    """Return the rule of the schema that a value breaks; None if it is valid."""
    if value is None:  # any field can be null: none is required, and examples have many nulls
        return None
    type_ = fact.get("type")
    if type_ is not None and (not isinstance(value, TYPES[type_]) or (type_ == "integer" and isinstance(value, bool))):
        return "type"
    if "pattern" in fact and not re.search(fact["pattern"], value):
        return "pattern"
    if "enum" in fact and value not in fact["enum"]:
        return "enum"
    if "format" in fact and not _matches_format(fact["format"], value):
        return "format"
    return None


def _matches_format(name: str, value: Any) -> bool:
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


def violations(name: str, response: requests.Response) -> Iterator[str]:
    """Yield the differences between a response and its description."""
    facts = FACTS[name]
    if response.status_code not in (facts["status"], OTHER_STATUSES.get(name)):
        yield f"status {response.status_code}, not {facts['status']}"
    if "record" not in facts:
        if response.content:
            yield "unexpected content"
        return
    if response.headers["Content-Type"] != "application/json":
        yield f"content type {response.headers['Content-Type']}"
    body = response.json()
    records = [body]
    if "key" in facts:
        records = body[facts["key"]]
        paged = not name.startswith(UNPAGINATED)
        if set(body) != ({facts["key"], *PAGE_FIELDS} if paged else {facts["key"], "uri"}):
            yield f"a list has {sorted(body)}"
        for field, type_ in PAGE.items() if paged else ():
            if type(body[field]) is not type_:
                yield f"{field} is {body[field]!r}"
        for field in PAGE_FIELDS & set(body):
            if field.endswith("uri") and body[field] is not None and not body[field].startswith("/2010-04-01/"):
                yield f"{field} is {body[field]!r}"
    for record in records:
        if missing := set(facts["record"]) - set(record):
            yield f"{sorted(missing)} missing"
        if extra := set(record) - set(facts["record"]):
            yield f"{sorted(extra)} not documented"
        for field, fact in facts["record"].items():
            rule = broken_rule(fact, record.get(field))
            if rule is not None and rule != excepted_rule(name, field):
                yield f"{field} breaks {rule}: {record[field]!r}"


def operation(method: str, path: str) -> str:
    """Return the operation of a request. Paths without variables take precedence."""
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
def responses(emulator: Emulator, session: requests.Session) -> dict[str, list[requests.Response]]:
    """Return the responses to a walk through the whole API, by operation."""
    found: dict[str, list[requests.Response]] = {}

    def request(method: str, path: str, /, **params: Any) -> Any:
        where: dict[str, Any] = {"data" if method == "POST" else "params": params or None}
        response = session.request(method, emulator.url + path, timeout=10, **where)
        assert response.ok, f"{method} {path} {params}: {response.text}"
        found.setdefault(operation(method, urlsplit(path).path), []).append(response)
        return response.json() if response.content else None

    for sender in ("+14155550199", "whatsapp:+14155550199"):
        emulator.receive_message("hi", from_=sender)
    for _ in walk(request, emulator.account_sid, emulator.phone_number, emulator.clock.advance):
        pass
    return found


@pytest.mark.parametrize("name", sorted(FACTS))
def test_emulator_responses_match_description(responses: dict[str, list[requests.Response]], name: str) -> None:
    if name in UNSOLD:
        assert name not in responses
        return
    assert {violation for response in responses[name] for violation in violations(name, response)} == set()


def test_walk_visits_every_list_and_status(
    responses: dict[str, list[requests.Response]],
) -> None:
    for name, found in responses.items():
        if "key" in FACTS[name]:
            assert any(response.json()[FACTS[name]["key"]] for response in found), name
    seen = {response.json()["status"] for response in responses["FetchMessage"]}
    assert seen >= {"queued", "sending", "sent", "delivered", "undelivered", "failed"}
    seen = {response.json()["status"] for response in responses["FetchCall"]}
    assert seen >= set(FACTS["FetchCall"]["record"]["status"]["enum"]) - {"canceled"}
    seen = {record["status"] for response in responses["ListRecording"] for record in response.json()["recordings"]}
    assert seen >= {"in-progress", "completed"}


def test_routes_match_description() -> None:
    described_routes = {re.sub(r"\{\w+\}", "{}", facts["path"]) + facts["method"] for facts in FACTS.values()}
    account_path = "/2010-04-01/Accounts/{}/"
    served_routes = {
        f"{account_path}{route}.json{method}" for route, methods in app.RESOURCE_ROUTES.items() for method in methods
    }
    served_routes |= {
        f"/2010-04-01/Accounts{'/' if route else ''}{route}.json{method}"
        for route, methods in app.ACCOUNT_ROUTES.items()
        for method in methods
    }
    assert served_routes == described_routes


# An invalid value for each type of parameter.
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
    """Return a SID for each resource that a path has a variable for."""
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
def test_parameters_reject_nonsense(
    emulator: Emulator, session: requests.Session, sids: dict[str, str], name: str, parameter: str, nonsense: str
) -> None:
    facts = FACTS[name]
    path = re.sub(r"(\w+)/\{\w*Sid\}", lambda found: f"{found[1]}/{sids[found[1]]}", facts["path"])
    path = path.replace("{CountryCode}", "GB" if path.endswith(("Mobile.json", "National.json")) else "US")
    form = GOOD.get(name, {}) | {parameter: nonsense}
    where: dict[str, Any] = {"data" if facts["method"] == "POST" else "params": form}
    response = session.request(facts["method"], emulator.url + path, timeout=10, **where)
    assert 400 <= response.status_code < 500, response.text
    assert response.json()["code"] != 20404


@pytest.mark.skipif(not DESCRIPTION.exists(), reason="Twilio's description is not available")
def test_schema_exceptions_occur_in_description() -> None:
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
                            if (rule := broken_rule(fact, record.get(field))) is not None:
                                seen |= {
                                    known
                                    for known, (exempt, _) in EXAMPLE_EXCEPTIONS.items()
                                    if known[0] in name and known[1] == field and exempt == rule
                                }
    assert seen == set(EXAMPLE_EXCEPTIONS)

"""Extract facts about operations from Twilio's OpenAPI description.

tests/contract/facts.json has the operations of `api/`, and further.json the other operations of the emulator.

    python scripts/make_facts.py DESCRIPTION

DESCRIPTION is the file `twilio_api_v2010.json` in the npm package `@twilio/cli-core` (`npm pack
@twilio/cli-core@9.0.0`). Only facts are extracted, and no text: paths, names, types, patterns and enumerations.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FACTS = ROOT / "tests" / "contract" / "facts.json"
FURTHER = FACTS.with_name("further.json")

ACCOUNT = "/2010-04-01/Accounts/{AccountSid}"
PATHS = (
    "/2010-04-01/Accounts.json",
    "/2010-04-01/Accounts/{Sid}.json",
    *(
        ACCOUNT + path
        for path in (
            "/AvailablePhoneNumbers/{CountryCode}/*.json",
            "/Balance.json",
            "/Calls.json",
            "/Calls/{Sid}.json",
            "/IncomingPhoneNumbers.json",
            "/IncomingPhoneNumbers/{Sid}.json",
            "/Messages.json",
            "/Messages/{Sid}.json",
            "/Messages/{MessageSid}/Feedback.json",
            "/Messages/{MessageSid}/Media.json",
            "/Messages/{MessageSid}/Media/{Sid}.json",
            "/Recordings.json",
            "/Recordings/{Sid}.json",
            "/Usage/Records.json",
            "/Usage/Records/*.json",
        )
    ),
)

FURTHER_PATHS = tuple(
    ACCOUNT + path
    for path in (
        "/AvailablePhoneNumbers.json",
        "/AvailablePhoneNumbers/{CountryCode}.json",
        "/Calls/{CallSid}/Recordings.json",
        "/Calls/{CallSid}/Recordings/{Sid}.json",
        "/IncomingPhoneNumbers/*.json",
    )
)


def main(description: Path) -> None:
    document = json.loads(description.read_text(encoding="utf-8"))
    for table, paths in ((FACTS, PATHS), (FURTHER, FURTHER_PATHS)):
        facts = extract(document, paths)
        lines = (f"  {json.dumps(name)}: {json.dumps(facts[name])}" for name in sorted(facts))
        table.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        print(f"{len(facts)} operations in {table.relative_to(ROOT)}")


def extract(document: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        return schemas[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema

    def type_of(schema: dict[str, Any]) -> dict[str, Any]:
        """Return the facts about a type."""
        schema = resolve(schema)
        if schema.get("type") == "array":
            return {"type": "array", "items": type_of(schema["items"])}
        return {name: schema[name] for name in ("type", "format", "pattern", "enum") if name in schema}

    def response_of(operation: dict[str, Any]) -> dict[str, Any]:
        """Return the response's status and the fields of its record.

        For a list, the facts include the key of the records.
        """
        responses = operation["responses"]
        status = next(status for status in responses if status.startswith("2"))
        response = responses[status]
        facts: dict[str, Any] = {"status": int(status)}
        for content in response.get("content", {}).values():
            schema = resolve(content["schema"])
            for name, field in schema["properties"].items():
                if "$ref" not in content["schema"] and field.get("type") == "array":
                    facts["key"], schema = name, resolve(field["items"])
            facts["record"] = {name: type_of(field) for name, field in schema["properties"].items()}
        return facts

    facts: dict[str, Any] = {}
    for path, item in document["paths"].items():
        if not any(matches(path, pattern) for pattern in paths):
            continue
        for method in ("get", "post", "delete"):
            if method not in item:
                continue
            operation = item[method]
            sent: dict[str, Any] = {}
            path_parameters: dict[str, Any] = {}
            for parameter in operation.get("parameters", ()):
                group = path_parameters if parameter["in"] == "path" else sent
                group[parameter["name"]] = type_of(parameter["schema"])
            required: list[str] = []
            for content in operation.get("requestBody", {}).get("content", {}).values():
                form = resolve(content["schema"])
                required = form.get("required", [])
                sent |= {name: type_of(field) for name, field in form["properties"].items()}
            facts[operation["operationId"]] = {
                "method": method.upper(),
                "path": path,
                "inside": path_parameters,
                "sent": sent,
                "required": required,
                **response_of(operation),
            }
    return facts


def matches(path: str, pattern: str) -> bool:
    """Return whether a path matches a pattern, in which ``*`` stands for a last word."""
    start, star, end = pattern.partition("*")
    if not star:
        return path == pattern
    return path.startswith(start) and path.endswith(end) and path[len(start) : -len(end)].isalpha()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    main(Path(sys.argv[1]))

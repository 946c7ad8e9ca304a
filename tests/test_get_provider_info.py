"""What Airflow finds: valid by both of its schemas, under the right name, naming every module there is and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from packaging.utils import canonicalize_name

import airflow_provider_twilio
from airflow_provider_twilio.get_provider_info import get_provider_info

PACKAGE = Path(airflow_provider_twilio.__file__).parent
FOLDERS = ("hooks", "operators", "sensors", "triggers")  # each is a key of the provider info, too
# What the public classes are built on; no DAG imports it.
FOUNDATIONS = {
    "alert", "balances", "base", "composed", "files", "many", "once", "quiet", "retries", "sending", "storm", "telling",
    "waiting", "ways",
}  # fmt: skip
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return loaded


def public_modules(folder: str) -> Iterator[str]:
    for file in sorted((PACKAGE / folder).glob("*.py")):
        if not file.stem.startswith("_") and file.stem not in FOUNDATIONS:
            yield f"airflow_provider_twilio.{folder}.{file.stem}"


def test_valid_for_the_discovery():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_valid_for_the_documentation():
    strict = schema("provider.yaml.schema.json")
    known = strict["properties"]
    if "conn-fields" not in known["connection-types"]["items"]["properties"]:  # Airflow 3.1 knows no form in there
        known["connection-types"] = {}
    strict["required"] = ["name", "package-name", "description"]  # the rest is for Airflow's own release manager
    known.setdefault("cli", {})  # nor commands
    jsonschema.validate(get_provider_info(), strict)


def test_named_as_the_distribution():
    """With another name, every command of Airflow dies."""
    name = distribution("airflow-provider-twilio").metadata["Name"]
    assert get_provider_info()["package-name"] == canonicalize_name(name) == name


def test_the_entry_point_leads_here():
    (found,) = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.module.startswith("airflow_provider_twilio")
    ]
    assert found.load() is get_provider_info


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_every_module(folder: str):
    said = [module for entry in get_provider_info().get(folder, []) for module in entry["python-modules"]]
    assert said == list(public_modules(folder))


def test_names_every_transfer():
    said = [entry["python-module"] for entry in get_provider_info().get("transfers", [])]
    assert said == list(public_modules("transfers"))


def test_names_every_notifier():
    said = {name.rpartition(".")[0] for name in get_provider_info().get("notifications", [])}
    assert said == set(public_modules("notifications"))


def test_names_every_link():
    said = {name.rpartition(".")[0] for name in get_provider_info().get("extra-links", [])}
    assert said == set(public_modules("links"))


def test_every_class_named_is_there():
    info = get_provider_info()
    names = [entry["hook-class-name"] for entry in info["connection-types"]]
    for name in names + info.get("notifications", []) + info.get("extra-links", []):
        module, _, attribute = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute), name


def test_imports_nothing_of_airflow():
    """Airflow loads it in every component, before it is itself ready."""
    assert find_spec("airflow")
    name = get_provider_info.__module__
    code = f"import sys, {name} as it; it.get_provider_info(); print('airflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"

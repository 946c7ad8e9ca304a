"""Tests of the provider metadata: valid for both of Airflow's schemas, and complete."""

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
FOLDERS = ("hooks", "operators", "sensors", "triggers")  # also the keys of the provider info
IMPLEMENTATION_MODULES = {
    "alert", "base", "dispatch", "history", "modes", "policy", "quiet_hours", "rendering", "time_budget",
}  # fmt: skip
"""Modules that DAGs do not import: they define base classes, helpers, or classes that other modules export."""
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return loaded


def public_modules(folder: str) -> Iterator[str]:
    for file in sorted((PACKAGE / folder).glob("*.py")):
        if not file.stem.startswith("_") and file.stem not in IMPLEMENTATION_MODULES:
            yield f"airflow_provider_twilio.{folder}.{file.stem}"


def test_provider_info_is_valid_for_discovery():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_provider_info_is_valid_for_documentation():
    strict = schema("provider.yaml.schema.json")
    known = strict["properties"]
    if "conn-fields" not in known["connection-types"]["items"]["properties"]:  # Airflow 3.1
        known["connection-types"] = {}
    strict["required"] = ["name", "package-name", "description"]  # the other keys are for Airflow's own releases
    known.setdefault("cli", {})  # unknown to Airflow 3.1
    jsonschema.validate(get_provider_info(), strict)


def test_provider_info_package_name_matches_distribution():
    """Every Airflow command fails if the names differ."""
    name = distribution("airflow-provider-twilio").metadata["Name"]
    assert get_provider_info()["package-name"] == canonicalize_name(name) == name


def test_entry_point_loads_get_provider_info():
    (found,) = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.module.startswith("airflow_provider_twilio")
    ]
    assert found.load() is get_provider_info


@pytest.mark.parametrize("folder", FOLDERS)
def test_provider_info_lists_public_modules(folder: str):
    listed = [module for entry in get_provider_info().get(folder, []) for module in entry["python-modules"]]
    assert listed == list(public_modules(folder))


def test_provider_info_lists_transfers():
    listed = [entry["python-module"] for entry in get_provider_info().get("transfers", [])]
    assert listed == list(public_modules("transfers"))


def test_provider_info_lists_notifiers():
    listed = {name.rpartition(".")[0] for name in get_provider_info().get("notifications", [])}
    assert listed == set(public_modules("notifications"))


def test_provider_info_lists_extra_links():
    listed = {name.rpartition(".")[0] for name in get_provider_info().get("extra-links", [])}
    assert listed == set(public_modules("links"))


def test_provider_info_classes_exist():
    info = get_provider_info()
    names = [entry["hook-class-name"] for entry in info["connection-types"]]
    for name in names + info.get("notifications", []) + info.get("extra-links", []):
        module, _, attribute = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute), name


def test_provider_info_does_not_import_airflow():
    """Every Airflow component loads the module before Airflow is initialized."""
    assert find_spec("airflow")
    name = get_provider_info.__module__
    code = f"import sys, {name} as module; module.get_provider_info(); print('airflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"

"""Tests of the connection form: its fields match the settings' extras, in the web UI of each Airflow version."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_provider_twilio.client.extras import EXTRAS
from airflow_provider_twilio.connection_form import FIELDS, LABELS


def test_connection_form_has_field_for_each_extra():
    assert sorted(FIELDS) == sorted(EXTRAS)


PRINT_FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(twilio,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "twilio"]
print(twilio.model_dump_json())
"""


def test_connection_form_is_served_to_web_ui():
    """``/ui/connections/hook_meta`` returns the form; Airflow 3.1 gets it from the hook's two methods.

    The test uses a separate process, like an API server: Airflow 3.1 loads the fields once in a process, and the first
    caller determines whether it substitutes its own classes for wtforms.
    """
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_FORM], check=False, capture_output=True, text=True, timeout=300
    )
    assert printed.returncode == 0, printed.stderr
    twilio = json.loads(printed.stdout.splitlines()[-1])
    assert twilio["hook_name"] == "Twilio"
    standard = twilio["standard_fields"]
    assert standard["url_schema"]["hidden"]
    assert standard["login"]["title"] == LABELS["login"]

    extras = twilio["extra_fields"]
    assert list(extras) == list(FIELDS)
    for name, field in FIELDS.items():
        schema = extras[name]["schema"]
        assert schema["title"] == field["label"]
        assert extras[name]["description"] == field["description"]
        assert extras[name]["value"] is None
        assert schema.get("enum") == field["schema"].get("enum")
        assert "null" in schema["type"]  # allows an empty field
        assert None not in (schema.get("enum") or ())  # the web UI would display it as "null"
    assert extras["proxy"]["schema"]["format"] == "password"
    assert extras["dry_run"]["schema"]["type"] == ["boolean", "null"]
    assert extras["retries"]["schema"]["type"] == ["integer", "null"]

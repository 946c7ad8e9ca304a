"""The connection form: a field for every extra that the settings read, in the web UI of each Airflow."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_provider_twilio.client.extras import EXTRAS
from airflow_provider_twilio.connection_form import FIELDS, LABELS


def test_a_field_for_every_extra():
    assert sorted(FIELDS) == sorted(EXTRAS)


SHOW = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(twilio,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "twilio"]
print(twilio.model_dump_json())
"""


def test_the_web_ui_shows_it():
    """As `/ui/connections/hook_meta` gives it: on Airflow 3.1 by way of the hook's two methods.

    In a process of its own, as an API server is one: Airflow 3.1 asks hooks for their fields once a process, with or
    without its stand-ins for wtforms, whoever comes first.
    """
    shown = subprocess.run([sys.executable, "-c", SHOW], check=False, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stderr
    twilio = json.loads(shown.stdout.splitlines()[-1])
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
        assert "null" in schema["type"]  # so that it may be left empty
        assert None not in (schema.get("enum") or ())  # which would be shown as a choice named "null"
    assert extras["proxy"]["schema"]["format"] == "password"
    assert extras["dry_run"]["schema"]["type"] == ["boolean", "null"]
    assert extras["retries"]["schema"]["type"] == ["integer", "null"]

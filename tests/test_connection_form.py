"""The connection form: a field for every extra that the settings read, in the web UI of each Airflow."""

from __future__ import annotations

from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

from airflow_provider_twilio.client.settings import EXTRAS
from airflow_provider_twilio.connection_form import FIELDS, LABELS


def test_a_field_for_every_extra():
    assert sorted(FIELDS) == sorted(EXTRAS)


def test_the_web_ui_shows_it():
    """As `/ui/connections/hook_meta` gives it: on Airflow 3.1 by way of the hook's two methods."""
    (twilio,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "twilio"]
    assert twilio.hook_name == "Twilio"
    assert twilio.standard_fields is not None
    assert twilio.standard_fields.url_schema is not None
    assert twilio.standard_fields.url_schema.hidden
    assert twilio.standard_fields.login is not None
    assert twilio.standard_fields.login.title == LABELS["login"]

    shown = twilio.extra_fields
    assert shown is not None
    assert list(shown) == list(FIELDS)
    for name, field in FIELDS.items():
        schema = shown[name]["schema"]
        assert schema["title"] == field["label"]
        assert shown[name]["description"] == field["description"]
        assert shown[name]["value"] is None
        assert schema.get("enum") == field["schema"].get("enum")
        assert "null" in schema["type"]
    assert shown["proxy"]["schema"]["format"] == "password"
    assert shown["dry_run"]["schema"]["type"] == ["boolean", "null"]
    assert shown["retries"]["schema"]["type"] == ["integer", "null"]

"""The connection form of the web UI: its fields, and what it shows around them. Data only; imports nothing of Airflow.

Airflow 3.2 and later read it from the provider info, Airflow 3.1 from two methods of the hook. Both are fed from here.
What the fields mean, and how they are checked, is `client/settings.py`.
"""

from __future__ import annotations

from typing import Any

# In the shape of `conn-fields` in Airflow's provider.yaml.schema.json. None has a default: a field left alone is not
# stored, so that a connection says only what its owner said.
FIELDS: dict[str, dict[str, Any]] = {
    "account_sid": {
        "label": "Account SID",
        "description": "The account to work for (AC…). Needed when the login is an API key or an OAuth client.",
        "schema": {"type": ["string", "null"], "pattern": "^AC[0-9a-fA-F]{32}$"},
    },
    "auth_type": {
        "label": "Authentication",
        "description": "basic (unless told): login and password are sent as they are. "
        "oauth: they are a client id and secret, exchanged for a token.",
        # None among the choices would be shown as "null"; the type already lets the choice be cleared.
        "schema": {"type": ["string", "null"], "enum": ["basic", "oauth"]},
    },
    "from_": {
        "label": "Default sender",
        "description": "Sends messages and places calls that name no sender of their own: "
        "a number in E.164 form, a short code, or an alphanumeric sender.",
        "schema": {"type": ["string", "null"]},
    },
    "messaging_service_sid": {
        "label": "Default messaging service",
        "description": "Sends messages that name neither a sender nor a service of their own (MG…).",
        "schema": {"type": ["string", "null"], "pattern": "^MG[0-9a-fA-F]{32}$"},
    },
    "allowed_recipients": {
        "label": "Allowed recipients",
        "description": "Where set, nothing is sent to anyone else: recipients separated by commas.",
        "schema": {"type": ["string", "null"]},
    },
    "dry_run": {
        "label": "Dry run",
        "description": "Send nothing and change nothing at Twilio: operations that would are only logged.",
        "schema": {"type": ["boolean", "null"]},
    },
    "region": {
        "label": "Region",
        "description": "Twilio region of the credentials, such as ie1. Its edge is filled in.",
        "schema": {"type": ["string", "null"]},
    },
    "edge": {
        "label": "Edge",
        "description": "Twilio edge location, such as dublin. Its region is filled in.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Time-out",
        "description": "Seconds for one request to be answered; 60 unless told.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "retries": {
        "label": "Retries",
        "description": "Further tries of a request that may be repeated; 0 is none.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "retry_max_wait": {
        "label": "Longest wait between tries",
        "description": "Seconds, whatever Twilio asks for.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "proxy": {
        "label": "Proxy",
        "description": "http://user:password@host:port",
        "schema": {"type": ["string", "null"], "format": "password"},  # it may carry a password
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true (unless told), false, or the path of a CA bundle.",
        "schema": {"type": ["string", "null"]},
    },
    "cert": {
        "label": "Client certificate",
        "description": "Path of a PEM file with certificate and key, or of both, separated by a comma.",
        "schema": {"type": ["string", "null"]},
    },
    "validate": {
        "label": "Validate answers",
        "description": "Take an answer without a SID of the right kind, or of another account, for an error. "
        "On unless told.",
        "schema": {"type": ["boolean", "null"]},
    },
    "allow_insecure": {
        "label": "Allow insecure",
        "description": "Send credentials over plain http to a host other than this machine.",
        "schema": {"type": ["boolean", "null"]},
    },
}

HIDDEN: list[str] = ["schema"]
LABELS: dict[str, str] = {
    "login": "Account SID, API key SID or OAuth client id",
    "password": "Auth token, API key secret or client secret",
    "host": "Base address",
}
PLACEHOLDERS: dict[str, str] = {
    "login": "AC… or SK…",
    "host": "empty for Twilio itself, or such as http://127.0.0.1:8765",
}


def ui_field_behaviour() -> dict[str, Any]:
    """Say which standard fields are hidden or renamed, in the words of Airflow 3.1's `get_ui_field_behaviour`."""
    return {"hidden_fields": list(HIDDEN), "relabeling": dict(LABELS), "placeholders": dict(PLACEHOLDERS)}


def form_widgets() -> dict[str, Any]:
    """Build the fields as wtforms widgets, as Airflow 3.1's `get_connection_form_widgets` wants them.

    Airflow 3.1 has no widget for numbers with a fraction: these are text there, which the settings read as well.
    """
    # Airflow 3.1 puts stand-ins here where wtforms is not installed, at the very moment it asks for the form.
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    kinds = {"boolean": BooleanField, "integer": IntegerField}

    def widget(field: dict[str, Any]) -> Any:
        schema = field["schema"]
        kind = PasswordField if schema.get("format") == "password" else kinds.get(schema["type"][0], StringField)
        choices = [any_of(schema["enum"])] if "enum" in schema else []
        return kind(field["label"], validators=[Optional(), *choices], description=field["description"])

    return {name: widget(field) for name, field in FIELDS.items()}

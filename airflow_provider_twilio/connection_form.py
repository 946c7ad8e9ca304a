"""Connection form of Airflow's web UI: the extra fields, labels and placeholders.

Airflow 3.2 and newer read the form from the provider info, Airflow 3.1 from two methods of the hook. Both use this
module, which does not import Airflow. ``client/settings.py`` parses and validates the values.
"""

from __future__ import annotations

from typing import Any

# The format is that of `conn-fields` in Airflow's provider.yaml.schema.json. No field has a default: Airflow would
# store it with every connection, even if the user left the field empty.
FIELDS: dict[str, dict[str, Any]] = {
    "account_sid": {
        "label": "Account SID",
        "description": "Account to use (AC…). Required if the login is an API key or an OAuth client.",
        "schema": {"type": ["string", "null"], "pattern": "^AC[0-9a-fA-F]{32}$"},
    },
    "auth_type": {
        "label": "Authentication",
        "description": "basic (the default): login and password are sent with each request. "
        "oauth: they are a client ID and secret, which are exchanged for a token.",
        # The form would display a None among the choices as "null". The type already allows an empty choice.
        "schema": {"type": ["string", "null"], "enum": ["basic", "oauth"]},
    },
    "from_": {
        "label": "Default sender",
        "description": "Sender of messages and calls that specify none: "
        "a number in E.164 format, a short code, or an alphanumeric sender ID.",
        "schema": {"type": ["string", "null"]},
    },
    "messaging_service_sid": {
        "label": "Default messaging service",
        "description": "Messaging service (MG…) of messages that specify neither a sender nor a service.",
        "schema": {"type": ["string", "null"], "pattern": "^MG[0-9a-fA-F]{32}$"},
    },
    "allowed_recipients": {
        "label": "Allowed recipients",
        "description": "Comma-separated recipients. If set, messages and calls to anyone else are rejected.",
        "schema": {"type": ["string", "null"]},
    },
    "dry_run": {
        "label": "Dry run",
        "description": "Only log requests that would send or change something, instead of sending them to Twilio.",
        "schema": {"type": ["boolean", "null"]},
    },
    "region": {
        "label": "Region",
        "description": "Twilio region of the credentials: us1, ie1 or au1. Sets its own edge if that is empty.",
        "schema": {"type": ["string", "null"]},
    },
    "edge": {
        "label": "Edge",
        "description": "Twilio edge, such as dublin. Does not change the region: us1 by default.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Timeout of one request, in seconds. Default: 60.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "retries": {
        "label": "Retries",
        "description": "Maximum retries of an idempotent request; 0 disables them.",
        "schema": {"type": ["integer", "null"], "minimum": 0},
    },
    "retry_max_wait": {
        "label": "Maximum wait between retries",
        "description": "Maximum in seconds, even if Twilio's Retry-After is longer.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "proxy": {
        "label": "Proxy",
        "description": "http://user:password@host:port",
        "schema": {"type": ["string", "null"], "format": "password"},  # the URL may contain a password
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true (the default), false, or the path of a CA bundle.",
        "schema": {"type": ["string", "null"]},
    },
    "cert": {
        "label": "Client certificate",
        "description": "Path of a PEM file with certificate and key, or two paths separated by a comma.",
        "schema": {"type": ["string", "null"]},
    },
    "validate": {
        "label": "Validate responses",
        "description": "Treat a response with an unexpected SID, or of another account, as an error. On by default.",
        "schema": {"type": ["boolean", "null"]},
    },
    "allow_insecure": {
        "label": "Allow insecure",
        "description": "Allow credentials over plain HTTP to a host other than this machine.",
        "schema": {"type": ["boolean", "null"]},
    },
}

HIDDEN: list[str] = ["schema"]
LABELS: dict[str, str] = {
    "login": "Account SID, API key SID or OAuth client ID",
    "password": "Auth token, API key secret or client secret",
    "host": "Base URL",
}
PLACEHOLDERS: dict[str, str] = {
    "login": "AC… or SK…",
    "host": "empty for Twilio, or an emulator such as http://127.0.0.1:8765",
}


def ui_field_behaviour() -> dict[str, Any]:
    """Return the hidden and renamed standard fields in the format of Airflow 3.1's hooks."""
    return {"hidden_fields": list(HIDDEN), "relabeling": dict(LABELS), "placeholders": dict(PLACEHOLDERS)}


def form_widgets() -> dict[str, Any]:
    """Build the extra fields as wtforms widgets, for Airflow 3.1's ``get_connection_form_widgets``.

    Airflow 3.1 has no widget for fractional numbers. They become text fields, whose values the settings parse as well.
    """
    # If wtforms is not installed, Airflow 3.1 substitutes its own classes just before it calls this function.
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    classes = {"boolean": BooleanField, "integer": IntegerField}

    def widget(field: dict[str, Any]) -> Any:
        schema = field["schema"]
        widget_class = (
            PasswordField if schema.get("format") == "password" else classes.get(schema["type"][0], StringField)
        )
        choices = [any_of(schema["enum"])] if "enum" in schema else []
        return widget_class(field["label"], validators=[Optional(), *choices], description=field["description"])

    return {name: widget(field) for name, field in FIELDS.items()}

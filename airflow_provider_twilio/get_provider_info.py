"""Provider metadata for Airflow's discovery.

Every Airflow component loads this module at startup. It therefore does not import Airflow.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_twilio.connection_form import FIELDS, HIDDEN, LABELS, PLACEHOLDERS

INTEGRATION = "Twilio"


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata in the format of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-twilio",
        "name": "Twilio",
        "description": "Messages, calls, numbers and accounts from DAGs, over `Twilio <https://www.twilio.com/>`__.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://www.twilio.com/docs/usage/api",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "twilio",
                "hook-class-name": "airflow_provider_twilio.hooks.twilio.TwilioHook",
                "hook-name": "Twilio",
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN,
                    "relabeling": LABELS,
                    "placeholders": PLACEHOLDERS,
                },
                "conn-fields": FIELDS,
            }
        ],
        "hooks": modules("hooks.twilio"),
        "operators": modules(
            "operators.accounts",
            "operators.approvals",
            "operators.bulk",
            "operators.calls",
            "operators.ensure_number",
            "operators.inbound",
            "operators.messages",
            "operators.number_housekeeping",
            "operators.phone_numbers",
            "operators.retention",
            "operators.scheduled",
            "operators.twilio",
            "operators.usage",
        ),
        "sensors": modules("sensors.accounts", "sensors.calls", "sensors.messages"),
        "triggers": modules("triggers.approvals", "triggers.calls", "triggers.inbound", "triggers.messages"),
        "notifications": ["airflow_provider_twilio.notifications.twilio.TwilioNotifier"],
        "transfers": [
            {
                "source-integration-name": INTEGRATION,
                "target-integration-name": "Common IO",
                "python-module": "airflow_provider_twilio.transfers.storage",
            }
        ],
        "extra-links": ["airflow_provider_twilio.links.twilio.TwilioLogLink"],
        "cli": ["airflow_provider_twilio.cli.get_twilio_cli_commands"],  # ignored by Airflow 3.1
    }


def modules(*names: str) -> list[dict[str, Any]]:
    """Return the entry of Twilio's modules in a list of integrations."""
    return [{"integration-name": INTEGRATION, "python-modules": [f"airflow_provider_twilio.{name}" for name in names]}]

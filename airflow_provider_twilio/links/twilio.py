"""``TwilioLogLink``: from a task to Twilio's log of its message or call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_twilio.client.settings import Settings

LOGS = {"SM": "sms", "MM": "sms", "CA": "voice/calls"}


class TwilioLogLink(BaseOperatorLink):
    """Lead to Twilio's log of the message or call, or to the emulator's page when the connection points there.

    The address is kept in XCom as soon as the SID is known, so that the link shows while the task is deferred.
    """

    name = "Twilio log"

    @property
    def xcom_key(self) -> str:
        return "twilio_log_link"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Give the address that the task kept."""
        return str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "")

    @classmethod
    def show(cls, context: Context, settings: Settings, sid: str | None) -> None:
        """Keep the address for a SID, for the UI to show from now on."""
        address = log_address(settings, sid or "")
        if address is not None and "ti" in context:
            context["ti"].xcom_push(key=cls().xcom_key, value=address)


def log_address(settings: Settings, sid: str) -> str | None:
    """Give the address of Twilio's log of a message or call; None for anything else."""
    log = LOGS.get(sid[:2])
    if log is None:
        return None
    if settings.base is not None:
        return f"{settings.base}/#{sid}"
    region = f"?x-target-region={settings.region}" if settings.region else ""
    return f"https://www.twilio.com/console/{log}/logs/{sid}{region}"

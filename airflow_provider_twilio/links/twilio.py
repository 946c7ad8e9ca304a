"""``TwilioLogLink``: the link from a task to its message or call in Twilio's console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_twilio.client.settings import Settings

CONSOLE_LOGS = {"SM": "sms", "MM": "sms", "CA": "voice/calls"}
"""Section of Twilio's console, by SID prefix."""


class TwilioLogLink(BaseOperatorLink):
    """A link to the message or call in Twilio's console, or in the emulator if the connection points there.

    The URL is stored in XCom as ``twilio_log_link`` as soon as the SID is known, so the link also works while the task
    is deferred. Every operator that sends a message or places a call has this link. To add it to your own operator:

    .. code-block:: python

        class MyOperator(BaseOperator):
            operator_extra_links = (TwilioLogLink(),)

            def execute(self, context):
                hook = TwilioHook()
                message = hook.messages.create(to="+14155550123", body="Hello")
                TwilioLogLink.show(context, hook.client.settings, message.sid)
    """

    name = "Twilio log"

    @property
    def xcom_key(self) -> str:
        """Key of the XCom that holds the URL."""
        return "twilio_log_link"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL that the task has stored; empty if there is none."""
        return str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "")

    @classmethod
    def show(cls, context: Context, settings: Settings, sid: str | None) -> None:
        """Store the URL of a message or call, so that the UI shows the link.

        :param settings: Settings of the client that has sent the request.
        :param sid: SID of the message or call. Any other SID, or None, stores no URL.
        """
        url = console_url(settings, sid or "")
        if url is not None and "ti" in context:
            context["ti"].xcom_push(key=cls().xcom_key, value=url)


def console_url(settings: Settings, sid: str) -> str | None:
    """Return the URL of a message or call in Twilio's console or in the emulator; None for any other SID."""
    section = CONSOLE_LOGS.get(sid[:2])
    if section is None:
        return None
    if settings.base is not None:
        return f"{settings.base}/#{sid}"
    region = f"?x-target-region={settings.region}" if settings.region else ""
    return f"https://www.twilio.com/console/{section}/logs/{sid}{region}"

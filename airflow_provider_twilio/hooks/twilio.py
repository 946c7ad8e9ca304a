"""``TwilioHook``: every resource of Twilio's, blocking and awaited, with credentials from an Airflow connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    BadParameter,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TwilioError,
)
from airflow_provider_twilio.api.operation import BlockingClient
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT

if TYPE_CHECKING:  # loaded when a hook is used: DAG files only import it
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.api.accounts import Balance
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved

R = TypeVar("R", bound=Record)


TEST_TIMEOUT = 15.0
"""Seconds that a test of the connection waits for an answer, at the most."""


class TwilioHook(BaseHook, Resources[BlockingClient]):
    """Call Twilio's REST API.

    ``hook.messages.create(…)``, ``hook.calls.fetch(sid)``, ``for m in hook.messages.list(…)``: each resource has the
    operations that Twilio has. ``async with hook.aclient() as client:`` gives the same, awaited.

    :param twilio_conn_id: the Airflow connection.
    :param account_sid: the account to act on, where it isn't the connection's own: a subaccount.

    https://www.twilio.com/docs/usage/api
    """

    conn_name_attr = "twilio_conn_id"
    default_conn_name = "twilio_default"
    conn_type = "twilio"
    hook_name = "Twilio"

    def __init__(self, twilio_conn_id: str = default_conn_name, account_sid: str | None = None) -> None:
        super().__init__()
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Give the connection form's fields to Airflow 3.1; later versions read the provider's information."""
        from airflow_provider_twilio.connection_form import form_widgets

        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Give the connection form's labels to Airflow 3.1; later versions read the provider's information."""
        from airflow_provider_twilio.connection_form import ui_field_behaviour

        return ui_field_behaviour()

    def get_conn(self) -> Client:
        """Give the blocking client."""
        return self.client

    @property
    def client(self) -> Client:
        """The blocking client, made from the connection when it is first used."""
        return self._made_client

    @cached_property
    def _made_client(self) -> Client:
        from airflow_provider_twilio.client.blocking import Client

        return Client(self._settings(), mask_secret=mask_secret)

    @asynccontextmanager
    async def aclient(self, *, concurrency: int = 100, retries: int | None = None) -> AsyncIterator[AsyncClient]:
        """Open an asynchronous client with the same resources, awaited.

        :param concurrency: how many connections it holds at the most.
        :param retries: further tries of a request that may be repeated, where it isn't what the connection says.
        """
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.client.threads import run_in_thread

        # What asks Airflow's supervisor blocks, or is lost on an event loop; a thread suits each version and process.
        settings = await run_in_thread(self._settings)
        if retries is not None:
            settings = replace(settings, retries=retries)
        async with AsyncClient(settings, mask_secret=mask_secret, concurrency=concurrency) as client:
            yield client

    def _settings(self) -> Settings:
        """Read the connection, and have its secrets masked."""
        from airflow_provider_twilio.client.settings import Settings

        settings = Settings.from_connection(self.get_connection(self.twilio_conn_id), self.account_sid)
        mask_secret(list(settings.secrets))
        return settings

    def request(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
        idempotent: bool = False,
        max_segments: int | None = None,
    ) -> Record:
        """Send any request for which there is no resource here.

        :param method: GET, POST, PUT, PATCH or DELETE.
        :param path: below the account (``Queues``), from the root (``/2010-04-01/Accounts/{AccountSid}/Queues.json``;
            ``{AccountSid}`` is filled in), or on another host of Twilio's (``https://messaging.twilio.com/v1/Services``).
        :param data: parameters in Twilio's own spelling.
        :param json: a JSON body instead, for the APIs that take one.
        :param idempotent: whether a POST or PATCH may be sent again when its outcome is unknown.
        :param max_segments: refuse a ``Body`` of more segments.
        """
        return self.client.request(method, path, data, json=json, idempotent=idempotent, max_segments=max_segments)

    def send_once(
        self,
        context: Mapping[str, Any],
        request: Request[R],
        *,
        key: str | None = None,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
    ) -> R:
        """Send a message, place a call, buy a number or open an account once, however often the task is tried.

        ``hook.send_once(context, Messages.create(to=…, body=…))``, in a task of TaskFlow. Errors that would come again
        fail the task at once.

        :param context: the task's: its ``**context``, or ``get_current_context()``.
        :param request: as the resource's ``create`` gives it on the class.
        :param key: names this send among those of the task; by default what it says does, so that the same request
            twice in one task is sent once. Give it where a try may say something else than the one before.
        :param on_clear: ``resend`` when a user clears the task, or ``skip``.
        :param on_unresolved: ``resend`` or ``fail`` where an earlier try's outcome can't be known: by default messages and
            calls are sent, purchases and new accounts fail.
        :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.
        """
        from airflow_provider_twilio._airflow.send_once import default_key, send_once_in_task

        with fail_on_permanent_errors():
            name = key or default_key(self.client.settings, request)
            return send_once_in_task(
                context,
                self.client,
                request,
                name=name,
                on_clear=on_clear,
                on_unresolved=on_unresolved,
                reconcile_timeout=reconcile_timeout,
            )

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> Iterator[Record]:
        """Go through any list for which there is no resource here, lazily to the end of its last page.

        :param path: as for :meth:`request`.
        :param data: filters in Twilio's own spelling.
        :param limit: how many records at the most.
        """
        return self.client.iterate(path, data, limit=limit)

    def fetch_balance(self) -> Balance:
        """Return the balance of the account.

        :raises BadParameter: the account is a subaccount, which has no balance of its own; the error names its parent.
        """
        try:
            return self.balance.fetch()
        except (InvalidRequest, NotFound, PermissionDenied) as error:
            parent = self._parent_account_sid()
            if parent is None:
                raise
            raise BadParameter(
                "account_sid",
                f"is the subaccount {self.client.settings.account_sid}, which has no balance of its own",
                f"ask for that of its parent, {parent}",
            ) from error

    def _parent_account_sid(self) -> str | None:
        try:
            account = self.accounts.fetch()
        except (AuthenticationFailed, PermissionDenied, NotFound):
            return None
        return account.owner_account_sid if account.owner_account_sid != account.sid else None

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the connection works, by reading only; never raises and shows no secret."""
        from airflow_provider_twilio.client.blocking import Client

        secrets: tuple[str, ...] = ()
        try:
            settings = self.client.settings
            secrets = settings.secrets
            # Whoever pressed the button waits for the answer, and Airflow, which makes up a name, for a minute at most.
            settings = replace(settings, conn_id="", retries=0, timeout=min(settings.timeout, TEST_TIMEOUT))
            with Client(settings, mask_secret=mask_secret) as client:
                works, told = _try_connection(client)
        except TwilioError as error:
            works, told = False, str(error)
        except Exception as error:  # the button wants an answer, whatever happens
            works, told = False, f"{type(error).__name__}: the connection could not be tested"
        for secret in secrets:
            told = told.replace(secret, "***")
        return works, told


def _try_connection(client: Client) -> tuple[bool, str]:
    try:
        account = client.accounts.fetch()
    except (AuthenticationFailed, PermissionDenied) as error:
        # Standard keys and test credentials may not read the account: ask for something that keys may.
        return _try_reading(client, error)
    return True, f"Connected to account {account.sid} ({account.status})"


def _try_reading(client: Client, refused: TwilioError) -> tuple[bool, str]:
    try:
        next(client.messages.list(limit=1), None)
    except PermissionDenied as error:
        return True, f"The credentials are right, but may not read everything. {error}"
    except AuthenticationFailed:
        if isinstance(refused, PermissionDenied):
            return True, f"The credentials are right, but may not read everything. {refused}"
        return False, f"Twilio does not accept the credentials. {refused}"
    return True, f"Connected to account {client.settings.account_sid}, which these credentials may not read itself"

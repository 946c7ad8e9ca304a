"""``TwilioHook``: Twilio's REST API, blocking or asynchronous, with credentials from an Airflow connection."""

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

if TYPE_CHECKING:  # Imported when a hook is used, since importing a DAG file must be fast.
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.api.accounts import Balance
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved

R = TypeVar("R", bound=Record)


TEST_TIMEOUT = 15.0
"""Maximum seconds that a test of the connection waits for a response."""


class TwilioHook(BaseHook, Resources[BlockingClient]):
    """A hook for Twilio's REST API.

    Each resource of the API is an attribute, with the operations that Twilio offers: :attr:`messages`, :attr:`media`,
    :attr:`feedback`, :attr:`calls`, :attr:`recordings`, :attr:`incoming_phone_numbers`,
    :attr:`available_phone_numbers`, :attr:`accounts`, :attr:`balance` and :attr:`usage_records`. An operation returns
    a record: a dict with typed attributes. ``list`` returns an iterator that fetches pages as they are needed.
    :meth:`aclient` offers the same operations for asyncio.

    .. code-block:: python

        hook = TwilioHook("twilio_default")
        message = hook.messages.create(to="+14155550123", body="Hello")
        for call in hook.calls.list(status="failed", limit=100):
            print(call.sid, call.start_time)

    Requests that are safe to retry are retried, as often as the connection's extra ``retries`` allows. Creating a
    message, a call, a phone number or an account is only retried if Twilio has not acted on it; to send exactly once,
    even if Airflow retries the task, use :meth:`send_once`.

    All requests may raise these errors, of ``airflow_provider_twilio.api.errors``:

    * :class:`BadParameter`: An argument is invalid, or a guard of the connection rejects it. No request was sent.
    * :class:`InvalidRequest`, :class:`NotFound`, :class:`OptedOut`: Twilio rejected the request.
    * :class:`AuthenticationFailed`, :class:`PermissionDenied`: The credentials are invalid or insufficient.
    * :class:`RateLimited`, :class:`ServerError`, :class:`NotSent`: The request failed, and may succeed later.
    * :class:`OutcomeUnknown`: The response was lost. The request may or may not have been carried out.

    :param twilio_conn_id: Name of the Airflow connection.
    :param account_sid: SID of the account to act on (AC…), such as a subaccount. By default the connection's account.

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
        """Return the fields of the connection form for Airflow 3.1. Later versions read the provider's metadata."""
        from airflow_provider_twilio.connection_form import form_widgets

        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels of the connection form for Airflow 3.1. Later versions read the provider's metadata."""
        from airflow_provider_twilio.connection_form import ui_field_behaviour

        return ui_field_behaviour()

    def get_conn(self) -> Client:
        """Return the blocking client: :attr:`client`, by the name that Airflow's hooks have for it.

        .. code-block:: python

            client = TwilioHook().get_conn()
        """
        return self.client

    @property
    def client(self) -> Client:
        """The blocking client. The connection is read when the client is first used.

        .. code-block:: python

            page = next(TwilioHook().client.iter_pages(Messages.list()))

        :raises BadConnection: If the connection is invalid. The error names the field or extra.
        """
        return self._client

    @cached_property
    def _client(self) -> Client:
        from airflow_provider_twilio.client.blocking import Client

        return Client(self._settings(), mask_secret=mask_secret)

    @asynccontextmanager
    async def aclient(self, *, concurrency: int = 100, retries: int | None = None) -> AsyncIterator[AsyncClient]:
        """Open an asynchronous client, which has the same resources and operations as the hook.

        .. code-block:: python

            async with TwilioHook().aclient(concurrency=20) as client:
                message = await client.messages.create(to="+14155550123", body="Hello")
                async for call in client.calls.list(limit=100):
                    print(call.sid)

        :param concurrency: Maximum number of requests in flight. Further ones wait.
        :param retries: Maximum number of retries of a request. By default the connection's extra ``retries``.
        :raises BadConnection: If the connection is invalid. The error names the field or extra.
        """
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.client.threads import run_in_thread

        # Airflow's supervisor returns the connection. That call blocks, and some versions don't support it on an event
        # loop.
        settings = await run_in_thread(self._settings)
        if retries is not None:
            settings = replace(settings, retries=retries)
        async with AsyncClient(settings, mask_secret=mask_secret, concurrency=concurrency) as client:
            yield client

    def _settings(self) -> Settings:
        """Return the settings of the connection, and mask its secrets in Airflow's logs."""
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
        """Send any request to Twilio, and return the record in the response.

        For parts of the API that have no resource here. The guards of the connection apply. A GET that Twilio redirects
        to a file is followed without the credentials, and returns a record with ``content_type``, ``encoding`` and
        ``content``.

        .. code-block:: python

            queue = TwilioHook().request("POST", "Queues", {"FriendlyName": "support"})

        :param method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        :param path: A path below the account (``Queues``), a path from the root
            (``/2010-04-01/Accounts/{AccountSid}/Queues.json``), or a URL on another of Twilio's hosts
            (``https://messaging.twilio.com/v1/Services``). ``{AccountSid}`` is replaced by the account's SID.
        :param data: Parameters, by the names that Twilio's API has for them.
        :param json: A JSON body, for APIs that accept one. Mutually exclusive with ``data``, except for ``GET``.
        :param idempotent: Whether a POST or PATCH may be retried when its outcome is unknown.
        :param max_segments: Maximum number of segments of the parameter ``Body``. By default unlimited.
        :raises BadParameter: If the path is on a foreign host, a recipient is not allowed, or the body is too long.
        :raises TwilioError: If Twilio rejects the request, or does not respond.
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
        """Create a message, call, phone number or account exactly once, across all tries of a task.

        If an earlier try has sent the request, its record is returned. If the outcome of an earlier try is unknown, the
        task first looks for the record at Twilio. For tasks of the TaskFlow API; the operators do the same by
        themselves.

        .. code-block:: python

            @task(retries=3)
            def notify(**context):
                request = Messages.create(to="+14155550123", body="Hello")
                return TwilioHook().send_once(context, request).sid

        :param context: Context of the task: its ``**context``, or ``get_current_context()``.
        :param request: The request, as ``Messages.create``, ``Calls.create``, ``IncomingPhoneNumbers.create`` or
            ``Accounts.create`` return it.
        :param key: Name of this request within the task. By default it is derived from the request's parameters, so
            that a task sends equal requests once. Set it if the parameters may differ between tries.
        :param on_clear: Whether to ``resend`` the request after a user has cleared the task, or to ``skip`` it.
        :param on_unresolved: Whether to ``resend`` the request or to ``fail`` when Twilio lists no record of an earlier
            try of unknown outcome. By default messages and calls are resent, and purchases and new accounts fail.
        :param reconcile_timeout: Seconds, after the connection's timeout, during which Twilio's list is polled for the
            record of an earlier try before the request is considered not sent.
        :raises AirflowFailException: If the error is permanent, so that Airflow does not retry the task.
        :raises TwilioError: If the request failed, and a retry of the task may succeed.
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
        """Yield the records of any list. Its pages are fetched as they are needed.

        For parts of the API that have no resource here.

        .. code-block:: python

            for queue in TwilioHook().iterate("Queues", limit=100):
                print(queue["friendly_name"])

        :param path: The path or URL of the list, as for :meth:`request`.
        :param data: Filters, by the names that Twilio's API has for them.
        :param limit: Maximum number of records. By default all.
        :raises BadParameter: If the path is on a foreign host.
        :raises TwilioError: If Twilio rejects a request, or does not respond.
        """
        return self.client.iterate(path, data, limit=limit)

    def fetch_balance(self) -> Balance:
        """Return the balance of the account.

        .. code-block:: python

            balance = TwilioHook().fetch_balance()
            print(balance.balance, balance.currency)

        :raises BadParameter: If the account is a subaccount, which has no balance of its own. The error names the
            parent account.
        :raises TwilioError: If Twilio rejects the request, or does not respond.
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
                f"use the account_sid of its parent, {parent}",
            ) from error

    def _parent_account_sid(self) -> str | None:
        try:
            account = self.accounts.fetch()
        except (AuthenticationFailed, PermissionDenied, NotFound):
            return None
        return account.owner_account_sid if account.owner_account_sid != account.sid else None

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and a message for the user. Called by the *Test* button of Airflow's UI.

        It only sends requests that read. It raises no error, and the message contains no secret.

        .. code-block:: python

            works, message = TwilioHook().test_connection()
        """
        from airflow_provider_twilio.client.blocking import Client

        secrets: tuple[str, ...] = ()
        try:
            settings = self.client.settings
            secrets = settings.secrets
            # A user waits for the result, and Airflow does for a minute. The connection's name is a temporary one.
            settings = replace(settings, conn_id="", retries=0, timeout=min(settings.timeout, TEST_TIMEOUT))
            with Client(settings, mask_secret=mask_secret) as client:
                works, message = _try_connection(client)
        except TwilioError as error:
            works, message = False, str(error)
        except Exception as error:  # The UI needs a result in any case.
            works, message = False, f"{type(error).__name__}: the connection could not be tested"
        for secret in secrets:
            message = message.replace(secret, "***")
        return works, message


def _try_connection(client: Client) -> tuple[bool, str]:
    try:
        account = client.accounts.fetch()
    except (AuthenticationFailed, PermissionDenied) as error:
        # Standard API keys and test credentials may not read the account, but standard keys may read messages.
        return _try_messages(client, error)
    return True, f"Connected to account {account.sid} ({account.status})"


def _try_messages(client: Client, account_error: TwilioError) -> tuple[bool, str]:
    try:
        next(client.messages.list(limit=1), None)
    except PermissionDenied as error:
        return True, f"The credentials are valid, but lack some permissions. {error}"
    except AuthenticationFailed:
        if isinstance(account_error, PermissionDenied):
            return True, f"The credentials are valid, but lack some permissions. {account_error}"
        return False, f"Twilio does not accept the credentials. {account_error}"
    return True, f"Connected to account {client.settings.account_sid}; the credentials may not read the account itself"

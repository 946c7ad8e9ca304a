"""The operator that sends any request to Twilio, for operations without an operator of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api.errors import BadParameter, OutcomeUnknown
from airflow_provider_twilio.api.records import remove_keys
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters


SECRET_FIELDS = frozenset(
    {
        "access_token", "api_key_secret", "api_secret", "client_secret", "credential", "id_token", "password",
        "private_key", "refresh_token", "secondary_auth_token", "secret", "signing_key", "signing_secret", "token",
    }
)  # fmt: skip
"""Names of fields in Twilio's responses that hold credentials. ``auth_token`` is removed from every record."""


class TwilioRequestOperator(TwilioOperator):
    """Send any request to Twilio's API, and return the response to XCom.

    .. code-block:: python

        TwilioRequestOperator(
            task_id="create_queue",
            method="POST",
            path="Queues",
            data={"FriendlyName": "support", "MaxSize": 100},
        )

    The response to a list request is its first page. Credentials in a response, such as ``secret``, ``access_token``
    and ``password``, do not go to XCom. To create an API key, call ``TwilioHook.request`` in a task that stores its
    secret.

    A POST or PATCH is not retried if its outcome is unknown, unless it is ``idempotent``: the task fails without retry.

    :param method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``. (templated)
    :param path: Path below the account (``Queues``), absolute path (``/2010-04-01/Accounts/{AccountSid}/Queues.json``,
        in which ``{AccountSid}`` is replaced), or URL of another Twilio host
        (``https://messaging.twilio.com/v1/Services``). (templated)
    :param data: Parameters under Twilio's own names. A list repeats its parameter, and times are converted to UTC.
        (templated)
    :param json: JSON body, for APIs that require one instead of ``data``. (templated)
    :param idempotent: Whether a POST or PATCH can be sent again without a further effect.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/usage/requests-to-twilio
    """

    template_fields = ("method", "path", "data", "json", "twilio_conn_id", "account_sid")
    template_fields_renderers = {"data": "json", "json": "json"}

    method: str
    path: str
    data: Mapping[str, Any] | str | None
    json: Any
    idempotent: bool

    def __init__(
        self,
        *,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        data: Mapping[str, Any] | str | None = None,
        json: Any = None,
        idempotent: bool = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        request = {name: values[name] for name in ("method", "path", "data", "json", "idempotent")}
        if UNRESOLVED not in request.values():
            cls._raw_request(**request)

    def _request(self, **overrides: Any) -> Any:
        """Build the request."""
        return self._raw_request(self.method, self.path, self.data, self.json, self.idempotent)

    @classmethod
    def _raw_request(cls, method: str, path: str, data: Any, json: Any, idempotent: bool) -> Any:
        from airflow_provider_twilio.api.raw import raw_request

        return raw_request(
            method, path, cls._mapping("data", data), json=cls._mapping("json", json), idempotent=idempotent
        )

    def execute(self, context: Context) -> Any:
        """Send the request. The task fails without retry if the outcome is unknown."""
        try:
            return super().execute(context)
        except OutcomeUnknown as error:
            raise AirflowFailException(f"{error}. Set idempotent=True if sending it twice does no harm") from error

    @staticmethod
    def _mapping(name: str, value: Any) -> Any:
        """Return a mapping or list, parsed from the string that a template has rendered."""
        parsed = parse_rendered(name, value, "Mapping | Sequence")
        if isinstance(parsed, str):
            raise BadParameter(name, "is a string, not a mapping", "pass a mapping, or a template that renders one")
        return parsed

    def _result(self, result: Any) -> Any:
        """Return the response without credentials."""
        remove_keys([result], SECRET_FIELDS)
        return super()._result(result)

    @property
    def _title(self) -> str:
        """The operation's name in log messages, without the path, which may contain a phone number."""
        return self.method

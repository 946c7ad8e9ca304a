"""Run any operation of Twilio's for which there is no operator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.errors import BadParameter, OutcomeUnknown
from airflow_provider_twilio.api.records import remove_keys
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters


SECRET = frozenset(
    {
        "access_token", "api_key_secret", "api_secret", "client_secret", "credential", "id_token", "password",
        "private_key", "refresh_token", "secondary_auth_token", "secret", "signing_key", "signing_secret", "token",
    }
)  # fmt: skip
"""What Twilio calls that which lets its bearer in, beside ``auth_token``, which no record has."""


class TwilioRequestOperator(TwilioOperator):
    """Run any operation of Twilio's, named by method and path. What it answers goes to XCom, of a list the first page.

    Secrets in it don't: a new key's ``secret``, an ``access_token``, a ``password`` and their like are left out. Who
    makes a key needs ``TwilioHook.request``, which gives them, in a task that puts them where they belong.

    :param method: GET, POST, PUT, PATCH or DELETE. (templated)
    :param path: below the account (``Queues``), from the root (``/2010-04-01/Accounts/{AccountSid}/Queues.json``;
        ``{AccountSid}`` is filled in), or on another host of Twilio's (``https://messaging.twilio.com/v1/Services``).
        (templated)
    :param data: parameters in Twilio's own spelling; lists are repeated, times written in UTC. (templated)
    :param json: a JSON body instead, for the APIs that take one. (templated)
    :param idempotent: whether a POST or PATCH may be sent again when its outcome is unknown; otherwise the task then
        fails for good, whatever its ``retries``.
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
        """Build the Request."""
        return self._raw_request(self.method, self.path, self.data, self.json, self.idempotent)

    @classmethod
    def _raw_request(cls, method: str, path: str, data: Any, json: Any, idempotent: bool) -> Any:
        return raw.raw_request(
            method, path, cls._mapping("data", data), json=cls._mapping("json", json), idempotent=idempotent
        )

    def execute(self, context: Context) -> Any:
        """Run it. Where it can't be known whether it was carried out, the task fails: a retry would do it blindly."""
        try:
            return super().execute(context)
        except OutcomeUnknown as error:
            raise AirflowFailException(f"{error}. Set idempotent=True if it may happen twice") from error

    @staticmethod
    def _mapping(name: str, value: Any) -> Any:
        """Read what a template for the whole of it has rendered."""
        read = parse_rendered(name, value, "Mapping | Sequence")
        if isinstance(read, str):
            raise BadParameter(name, "is a text that is no mapping", "give a mapping, or a template that renders one")
        return read

    def _result(self, answer: Any) -> Any:
        """Give what goes to XCom, without secrets."""
        remove_keys([answer], SECRET)
        return super()._result(answer)

    @property
    def _title(self) -> str:
        """What the log calls it: without the path, which may hold a phone number."""
        return self.method

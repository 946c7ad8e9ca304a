"""Operators that take several operations to do one thing: as templated and as checked as those of one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import is_mapped_at_runtime, parse_rendered, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CompositeOperator(TwilioOperator):
    """Do what takes several operations.

    A subclass spells its parameters in ``__init__``, :meth:`keep` takes them over, and all are templated. It says in
    :meth:`check` what they may be, and in ``carry_out`` what is done with them.
    """

    _composite_parameters: ClassVar[Mapping[str, str]] = {}
    """The parameters, and what each may be, as written."""

    if TYPE_CHECKING:
        _perform: Callable[..., Any]
        """Do it: called with the context, and the parameters by their names."""

    def __init_subclass__(cls, color: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        written = vars(cls).get("__init__")
        if written is not None:
            names = written.__code__.co_varnames[1 : 1 + written.__code__.co_kwonlyargcount]
            cls._composite_parameters = {
                **cls._composite_parameters,
                **{name: str(written.__annotations__[name]) for name in names},
            }
            cls.template_fields = (*cls._composite_parameters, "twilio_conn_id", "account_sid")
        if color is not None:
            cls.ui_color = color

    def _set_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Keep the parameters, unchanged, and check what of them is known already.

        :param arguments: the ``locals()`` of ``__init__``.
        """
        for name in self._composite_parameters:
            setattr(self, name, arguments[name])
        if not is_mapped_at_runtime(self):
            self._check({name: self._literal_of(name, arguments[name]) for name in self._composite_parameters})

    def _literal_of(self, name: str, value: Any) -> Any:
        """Tell what is known of a value when the DAG is parsed: a text may stand for the boolean it says."""
        value = resolve_literal(value)
        return value if value is UNRESOLVED else self._read(name, value)

    def _check(self, given: Mapping[str, Any]) -> None:
        """Refuse what can't be meant. Called when the DAG is parsed, with :data:`LATER` for what isn't known yet."""

    def _rendered_arguments(self) -> dict[str, Any]:
        """Read the parameters from what their templates have rendered."""
        return {name: self._read(name, getattr(self, name)) for name in self._composite_parameters}

    def _read(self, name: str, value: Any) -> Any:
        annotation = self._composite_parameters[name]
        value = parse_rendered(name, value, annotation)
        if "bool" in annotation and not isinstance(value, bool | None):
            raise BadParameter(name, f"is not true or false ({checks.describe(value)})", "give True or False")
        return value

    def execute(self, context: Context) -> Any:
        """Do it. Errors that would come again fail the task at once."""
        with fail_on_permanent_errors():
            given = self._rendered_arguments()
            self._check(given)
            return self._perform(context, **given)

    @property
    def _title(self) -> str:
        """What the log calls it."""
        return type(self).__name__.removesuffix("Operator")

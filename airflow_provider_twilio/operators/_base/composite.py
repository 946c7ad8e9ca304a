"""Base class of operators that need several Twilio operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator, keyword_names

if TYPE_CHECKING:
    from airflow.sdk import Context

CONNECTION = ("twilio_conn_id", "account_sid")


class CompositeOperator(TwilioOperator):
    """An operator that needs several operations, with templated and checked parameters like the others'.

    A subclass lists its parameters in ``__init__``, which hands them to :meth:`_set_arguments`: they are all templated.
    ``_check`` says which values are valid, and ``_perform`` does the work.
    """

    _composite_parameters: ClassVar[Mapping[str, str]] = {}
    """The templated parameters, with their annotations."""
    _stored_by_subclass: ClassVar[tuple[str, ...]] = ()
    """Templated parameters that ``_perform`` does not take."""

    if TYPE_CHECKING:
        _perform: Callable[..., Any]
        """Do the work. Called with the context, and with the parameters by name."""

    def __init_subclass__(cls, color: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        function = vars(cls).get("__init__")
        if function is not None:
            names = [name for name in keyword_names(function) if name not in (*cls._options, *CONNECTION)]
            if "_set_arguments" in function.__code__.co_names:
                own = {name: str(function.__annotations__.get(name, "Any")) for name in names}
                cls._composite_parameters = {**cls._composite_parameters, **own}
            else:  # a user's subclass, whose __init__ stores further parameters itself
                cls._stored_by_subclass = tuple(name for name in names if name in function.__code__.co_names)
            if "template_fields" not in vars(cls):
                cls.template_fields = (*cls._composite_parameters, *cls._stored_by_subclass, *CONNECTION)
        if color is not None:
            cls.ui_color = color

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        """Return a literal, parsed into the parameter's type."""
        value = resolve_literal(value)
        return value if value is UNRESOLVED or name not in cls._composite_parameters else cls._parse(name, value)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        if all(name in values for name in cls._composite_parameters):
            cls._check({name: values[name] for name in cls._composite_parameters})

    @classmethod
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Raise BadParameter for an invalid value. ``UNRESOLVED`` stands for what is not known yet."""

    def _rendered_arguments(self) -> dict[str, Any]:
        """Return the parameters, parsed from the text that their templates have rendered."""
        return {name: self._parse(name, getattr(self, name)) for name in self._composite_parameters}

    @classmethod
    def _parse(cls, name: str, value: Any) -> Any:
        annotation = cls._composite_parameters[name]
        value = parse_rendered(name, value, annotation)
        if "bool" in annotation and not isinstance(value, bool | None):
            raise BadParameter(name, f"is not true or false ({checks.describe(value)})", "give True or False")
        return value

    def execute(self, context: Context) -> Any:
        """Check the rendered parameters, and do the work. Permanent errors fail the task without a retry."""
        with fail_on_permanent_errors():
            given = self._rendered_arguments()
            self._check(given)
            return self._perform(context, **given)

    @property
    def _title(self) -> str:
        """The operator's name in log lines."""
        return type(self).__name__.removesuffix("Operator")

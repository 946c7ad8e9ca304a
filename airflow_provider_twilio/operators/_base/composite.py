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
    """Base class of operators that need several operations.

    A subclass lists its parameters in ``__init__`` and passes them to :meth:`_set_arguments`. All of them are
    templated. ``_check`` validates their values, and ``_perform`` does the work.

    .. code-block:: python

        class RenameNumberOperator(CompositeOperator):
            def __init__(self, *, phone_number: str, friendly_name: str, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self._set_arguments(locals())

            def _perform(self, context: Context, *, phone_number: str, friendly_name: str) -> Any:
                (number,) = self.hook.incoming_phone_numbers.list(phone_number=phone_number)
                return self.hook.incoming_phone_numbers.update(number.sid, friendly_name=friendly_name)
    """

    _composite_parameters: ClassVar[Mapping[str, str]] = {}
    """Annotations of the templated parameters, by name."""
    _stored_by_subclass: ClassVar[tuple[str, ...]] = ()
    """Templated parameters that ``__init__`` of a user's subclass stores itself. ``_perform`` does not receive them."""

    if TYPE_CHECKING:
        _perform: Callable[..., Any]
        """Do the work, and return the value for XCom. The arguments are the context, and the parameters by name."""

    def __init_subclass__(cls, color: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        function = vars(cls).get("__init__")
        if function is not None:
            names = [name for name in keyword_names(function) if name not in (*cls._options, *CONNECTION)]
            if "_set_arguments" in function.__code__.co_names:
                own = {name: str(function.__annotations__.get(name, "Any")) for name in names}
                cls._composite_parameters = {**cls._composite_parameters, **own}
            else:
                cls._stored_by_subclass = tuple(name for name in names if name in function.__code__.co_names)
            if "template_fields" not in vars(cls):
                cls.template_fields = (*cls._composite_parameters, *cls._stored_by_subclass, *CONNECTION)
        if color is not None:
            cls.ui_color = color

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        """Return the value of a literal, parsed into the parameter's type."""
        value = resolve_literal(value)
        return value if value is UNRESOLVED or name not in cls._composite_parameters else cls._parse(name, value)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        if all(name in values for name in cls._composite_parameters):
            cls._check({name: values[name] for name in cls._composite_parameters})

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the values of the parameters.

        :param values: The values by name. At parse time, ``UNRESOLVED`` for values that are not yet known.
        :raises BadParameter: If a value is invalid.
        """

    def _rendered_arguments(self) -> dict[str, Any]:
        """Return the arguments, parsed from the strings that their templates have rendered."""
        return {name: self._parse(name, getattr(self, name)) for name in self._composite_parameters}

    @classmethod
    def _parse(cls, name: str, value: Any) -> Any:
        annotation = cls._composite_parameters[name]
        value = parse_rendered(name, value, annotation)
        if "bool" in annotation and not isinstance(value, bool | None):
            raise BadParameter(name, f"is not true or false ({checks.describe(value)})", "pass True or False")
        return value

    def execute(self, context: Context) -> Any:
        """Check the rendered arguments, and do the work. Permanent errors fail the task without retry."""
        with fail_on_permanent_errors():
            arguments = self._rendered_arguments()
            self._check(arguments)
            return self._perform(context, **arguments)

    @property
    def _title(self) -> str:
        """The operator's name in log messages."""
        return type(self).__name__.removesuffix("Operator")

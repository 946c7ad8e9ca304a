"""The rendering of a notifier's template fields, in every kind of callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from jinja2 import StrictUndefined

from airflow_provider_twilio._airflow import compat as _airflow
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.notifications.alert import Alert, fits_segments
from airflow_provider_twilio.notifications.policy import CONTENT_VARIABLES
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier


def render_fields(notifier: BaseNotifier, context: Mapping[str, Any], alert: Alert) -> dict[str, Any]:
    """Return the rendered values of a notifier's template fields, leaving the fields as they are.

    A body that cannot be rendered is None, so that the default text replaces it. A content variable that cannot be
    rendered holds the default text.

    :raises BadParameter: When another field cannot be rendered.
    """
    environment = _template_environment(notifier, context.get("dag"))
    names = _template_names(context, alert)

    def render(field: str, template: Any) -> Any:
        try:
            value = notifier.render_template(template, names, environment)
        except Exception as error:
            reason = f"{type(error).__name__}: {mask(str(_airflow.redact(str(error))))}"
            if field not in ("body", CONTENT_VARIABLES):
                raise BadParameter(field, f"cannot be rendered ({reason})", "fix the template") from None
            notifier.log.warning("Cannot render %s, sending the default text instead: %s", field, reason)
            return None if field == "body" else alert.text_within(partial(fits_segments, 1))
        if field == "body" and isinstance(value, str) and not value.strip():  # Twilio would reject it
            notifier.log.warning("The body is empty, sending the default text instead")
            return None
        if field == "to" and isinstance(value, Iterable) and not isinstance(value, str | Mapping):
            return list(value)
        return value if isinstance(value, str) or value is None else str(value)

    fields = {}
    for field in notifier.template_fields:
        template = getattr(notifier, field)
        if field == CONTENT_VARIABLES:
            fields[field] = template and {key: render(field, value) for key, value in template.items()}
        else:
            value = render(field, template)
            fields[field] = value if field == "body" else _parse_field(field, value)
    return fields


def _template_environment(notifier: BaseNotifier, dag: Any) -> Any:
    """Return the Jinja environment of a DAG, or one that rejects missing names if there is no DAG.

    ``dag.test()`` passes a serialized DAG, which has neither an environment nor the DAG's own macros and filters.
    """
    if dag is None:
        environment = notifier.get_template_env(None)
        environment.undefined = StrictUndefined
        return environment
    if not hasattr(dag, "get_template_env"):
        native = bool(getattr(dag, "render_template_as_native_obj", False))
        dag = DAG(dag.dag_id, schedule=None, render_template_as_native_obj=native)
    return notifier.get_template_env(dag)


def _template_names(context: Mapping[str, Any], alert: Alert) -> Any:
    """Return the names that templates can use: the same ones in every context, and the context's own."""
    names = {**_airflow.template_accessors(), "run_id": alert.run_id, **context, "alert": alert}
    run = names.get("dag_run", {})
    if isinstance(run, Mapping):  # a deadline's run has other keys, and a DAG's context may have no run
        names["dag_run"] = {"dag_id": alert.dag_id, "run_id": alert.run_id, **run}
    return names


def _parse_field(name: str, value: Any) -> Any:
    """Return the value that a rendered template stands for, as operators do; None for an empty string."""
    value = parse_rendered(name, value, "str | Sequence[str]" if name == "to" else "str")
    return None if isinstance(value, str) and not value.strip() else value

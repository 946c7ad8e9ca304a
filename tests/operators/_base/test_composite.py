"""Tests of the base class of operators that need several operations: templates, checks and subclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, ServerError
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.composite import CompositeOperator

Run = Callable[..., Any]


class Composite(CompositeOperator):
    """Return the parameters."""

    def __init__(
        self,
        *,
        names: list[str] | str,
        apply: bool | str = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Reject one name."""
        if values["names"] is not UNRESOLVED and "bad" in values["names"]:
            raise BadParameter("names", "are bad", "correct them")

    def _perform(self, context: Any, *, names: Any, apply: bool) -> Any:
        """Return both parameters."""
        if names == "server":
            raise ServerError("no response")
        return names, apply


class Subclass(Composite):
    """Accept one more parameter."""

    def __init__(self, *, more: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.more = more


class SubclassWithoutAnnotations(Composite):
    """Accept a parameter without an annotation, and one that is not stored."""

    def __init__(self, *, team, note="", **kwargs):
        super().__init__(**kwargs)
        self.team = team or note


def test_composite_operator_subclass_adds_parameters(run: Run):
    assert run(Subclass, names="a", apply=True, more=1) == ("a", True)
    assert run(SubclassWithoutAnnotations, names="a", team="{{ team }}", note="x") == ("a", False)
    assert SubclassWithoutAnnotations.template_fields == ("names", "apply", "team", "twilio_conn_id", "account_sid")


class WithoutConnection(CompositeOperator):
    """List only its own parameter, as the example of the base class does."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    def _perform(self, context: Any, *, name: str) -> Any:
        """Return the parameter."""
        return name


def test_composite_operator_with_inherited_connection_checks_its_account(run: Run):
    assert run(WithoutConnection, name="a") == "a"
    WithoutConnection.partial(task_id="mapped", name="a").expand(account_sid=["AC" + "0" * 32])
    with pytest.raises(BadParameter, match="account_sid is not a SID"):
        WithoutConnection(task_id="task", name="a", account_sid="12")
    with pytest.raises(BadParameter, match="account_sid is not a SID"):
        WithoutConnection.partial(task_id="task", name="a", account_sid="12")


def test_composite_operator_partial_checks_literals():
    with DAG("dag", schedule=None):
        with pytest.raises(BadParameter, match="names are bad"):
            Composite.partial(task_id="task", names="bad")
        with pytest.raises(BadParameter, match="apply is not true or false"):
            Composite.partial(task_id="task", apply="perhaps")
        Composite.partial(task_id="other", names="{{ name }}").expand(apply=[True, False])


def test_composite_operator_parameters_are_templated():
    assert Composite.template_fields == ("names", "apply", "twilio_conn_id", "account_sid")
    assert Subclass.template_fields == ("names", "apply", "more", "twilio_conn_id", "account_sid")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("True", True), ("true ", True), ("False", False), ("{{ yes }}", True), ("{{ 1 > 2 }}", False)],
)
def test_composite_operator_parses_rendered_booleans(run: Run, text: str, expected: bool):
    assert run(Composite, {"yes": True}, names="a", apply=text) == ("a", expected)


@pytest.mark.parametrize("text", ["yes", "1", "", " ", "None", "{{ nothing }}", "TrueTrue"])
def test_composite_operator_rejects_other_strings_as_booleans(run: Run, text: str):
    with pytest.raises((BadParameter, AirflowFailException), match="apply is"):
        run(Composite, names="a", apply=text)


def test_composite_operator_checks_templates_at_run_time(run: Run):
    task = Composite(task_id="task", names="{{ name }}", apply="{{ apply }}")
    context: Any = {"name": "bad", "apply": "False"}
    task.render_template_fields(context)
    with pytest.raises(AirflowFailException, match="names are bad"):
        task.execute({})
    with pytest.raises(BadParameter, match="names are bad"):
        Composite(task_id="task", names="bad")


def test_composite_operator_mapped_checks_at_run_time(run_mapped: Run):
    assert run_mapped(Composite, names="a", apply="True") == ("a", True)
    with DAG("dag", schedule=None):
        mapped: Any = Composite.partial(task_id="task").expand(names=["bad"])
    with pytest.raises(AirflowFailException, match="names are bad"):
        mapped.unmap({"names": "bad"}).execute({})


def test_composite_operator_server_error_is_retried(run: Run):
    with pytest.raises(ServerError):
        run(Composite, names="server")

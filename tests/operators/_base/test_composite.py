"""What takes several operations is as templated, and as strict, as what takes one."""

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


class Composed(CompositeOperator):
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
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Refuse one name."""
        if given["names"] is not UNRESOLVED and "bad" in given["names"]:
            raise BadParameter("names", "are bad", "mend them")

    def _perform(self, context: Any, *, names: Any, apply: bool) -> Any:
        """Give both."""
        if names == "server":
            raise ServerError("no answer")
        return names, apply


class Heir(Composed):
    """Accept one more parameter."""

    def __init__(self, *, more: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.more = more


class HeirWithoutAnnotations(Composed):
    """Accept a parameter without an annotation, and one that is not stored."""

    def __init__(self, *, team, note="", **kwargs):  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.team = team or note


def test_composite_operator_subclass_takes_a_parameter_of_its_own(run: Run):
    assert run(Heir, names="a", apply=True, more=1) == ("a", True)
    assert run(HeirWithoutAnnotations, names="a", team="{{ team }}", note="x") == ("a", False)
    assert HeirWithoutAnnotations.template_fields == ("names", "apply", "team", "twilio_conn_id", "account_sid")


def test_composite_operator_partial_checks_literals():
    with DAG("dag", schedule=None):
        with pytest.raises(BadParameter, match="names are bad"):
            Composed.partial(task_id="task", names="bad")
        with pytest.raises(BadParameter, match="apply is not true or false"):
            Composed.partial(task_id="task", apply="perhaps")
        Composed.partial(task_id="other", names="{{ name }}").expand(apply=[True, False])


def test_all_parameters_are_templated():
    assert Composed.template_fields == ("names", "apply", "twilio_conn_id", "account_sid")
    assert Heir.template_fields == ("names", "apply", "more", "twilio_conn_id", "account_sid")


@pytest.mark.parametrize(
    ("text", "meant"), [("True", True), ("true ", True), ("False", False), ("{{ yes }}", True), ("{{ 1 > 2 }}", False)]
)
def test_a_text_is_read_as_the_boolean_it_says(run: Run, text: str, meant: bool):
    assert run(Composed, {"yes": True}, names="a", apply=text) == ("a", meant)


@pytest.mark.parametrize("text", ["yes", "1", "", " ", "None", "{{ nothing }}", "TrueTrue"])
def test_any_other_text_is_refused(run: Run, text: str):
    with pytest.raises((BadParameter, AirflowFailException), match="apply is"):
        run(Composed, names="a", apply=text)


def test_nothing_is_checked_that_is_not_known_yet(run: Run):
    task = Composed(task_id="task", names="{{ name }}", apply="{{ apply }}")
    context: Any = {"name": "bad", "apply": "False"}
    task.render_template_fields(context)
    with pytest.raises(AirflowFailException, match="names are bad"):
        task.execute({})
    with pytest.raises(BadParameter, match="names are bad"):
        Composed(task_id="task", names="bad")


def test_mapped_it_checks_when_it_runs(run_mapped: Run):
    assert run_mapped(Composed, names="a", apply="True") == ("a", True)
    with DAG("dag", schedule=None):
        mapped: Any = Composed.partial(task_id="task").expand(names=["bad"])
    with pytest.raises(AirflowFailException, match="names are bad"):
        mapped.unmap({"names": "bad"}).execute({})


def test_what_may_come_right_is_retried(run: Run):
    with pytest.raises(ServerError):
        run(Composed, names="server")

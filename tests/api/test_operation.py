"""Operations: definition, building, running and extra parameters."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api import accounts, calls, messages, phone_numbers, recordings, usage
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import Definition, Resource, definition, operation
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from tests.support.responses import SM, TO

DEFINITIONS: list[Definition] = [
    value.definition
    for module in (accounts, calls, messages, phone_numbers, recordings, usage)
    for resource in vars(module).values()
    if isinstance(resource, type) and issubclass(resource, Resource) and resource is not Resource
    for value in vars(resource).values()
    if hasattr(value, "definition")
]

# Names that operators and sensors of Airflow 3.1 to 3.3 use for themselves: parameters, attributes and methods.
RESERVED_NAMES = """
HIDE_ATTRS_FROM_UI add_inlets add_outlets allow_nested_operators as_setup as_teardown dag dag_id default_args
defer depends_on_past deserialization_allowed_class_fields do_xcom_push doc doc_json doc_md doc_rst doc_yaml
downstream_group_ids downstream_list downstream_task_ids dry_run email email_on_failure email_on_retry end_date
execute execution_timeout executor executor_config expand_start_trigger_args exponential_backoff
get_closest_mapped_task_group get_dag get_direct_relative_ids get_direct_relatives get_flat_relative_ids
get_flat_relatives get_needs_expansion get_parse_time_mapped_ti_count get_serialized_fields get_template_env
get_upstreams_follow_setups get_upstreams_only_setups get_upstreams_only_setups_and_teardowns has_dag
has_on_execute_callback has_on_failure_callback has_on_retry_callback has_on_skipped_callback
has_on_success_callback has_retry_policy ignore_first_depends_on_past inherits_from_empty_operator
inherits_from_skipmixin inlets is_async is_mapped is_setup is_teardown iter_mapped_dependants
iter_mapped_task_groups label leaves log logger_name map_index_template max_active_tis_per_dag
max_active_tis_per_dagrun max_retry_delay max_wait mode multiple_outputs never_fail node_id on_execute_callback
on_failure_callback on_failure_fail_dagrun on_kill on_retry_callback on_skipped_callback on_success_callback
operator_class operator_extra_links operator_name outlets output overwrite_rtif_after_execution owner params
partial poke poke_interval pool pool_slots post_execute pre_execute prepare_for_execution prepare_template
priority_weight queue render_template render_template_as_native_obj render_template_fields reschedule
resolve_template_files resources resume_execution retries retry_delay retry_exponential_backoff retry_policy
returns_dag_result roots run_as_user serialize_for_task_group set_downstream set_upstream shallow_copy_attrs
silent_fail sla soft_fail start_date start_from_trigger start_trigger_args task_concurrency task_display_name
task_group task_id task_type template_ext template_fields template_fields_renderers timeout trigger_rule
ui_color ui_fgcolor unmap update_relative upstream_list upstream_task_ids valid_modes wait_for_downstream
wait_for_past_depends_before_skipping weight_rule
"""
RESERVED = frozenset(RESERVED_NAMES.split())


class Client:
    """A client that returns what it is asked to run."""

    def send(self, request: Request[Any], /) -> Any:
        return ("sent", request)

    def iter_records(self, listing: Listing[Any], /) -> Any:
        return ("iterated", listing)


def test_operation_builds_on_class_and_runs_on_client():
    bound: Any = Messages(Client())
    assert bound.create(to=TO, body="hi") == ("sent", Messages.create(to=TO, body="hi"))
    assert bound.list(to=TO) == ("iterated", Messages.list(to=TO))


def test_operation_keeps_name_and_docstring():
    assert Messages.create.__name__ == "create"
    assert "Create a message" in (Messages.create.__doc__ or "")
    assert str(definition(Messages.create)) == "Messages.create"
    assert definition(Messages.create).wire_names["from_"] == "From"


def test_operation_does_not_send_positional_arguments():
    assert definition(Messages.update).wire_names == {"body": "Body", "status": "Status"}
    assert Messages.update(SM, body="").data == (("Body", ""),)


def test_operation_with_a_sent_default_cannot_be_defined():
    with pytest.raises(TypeError, match="shape is sent, so it may only default to None"):

        class Widgets(Resource[Any]):
            @operation
            @staticmethod
            def create(*, shape: str = "round") -> Request[Record]:
                return Request("POST", "Widgets.json", Record)


def test_definition_rejects_other_functions():
    with pytest.raises(TypeError, match="is not an operation"):
        definition(print)


def test_operation_parameters_avoid_names_that_airflow_uses():
    assert {str(found): found.names for found in DEFINITIONS if RESERVED & set(found.names)} == {}


# ---------------------------------------------------------------- extra_params


def test_extra_params_is_the_last_parameter_of_every_form_operation():
    forms = {str(found) for found in DEFINITIONS if found.function.__name__ in ("create", "update")}
    accepting = {str(found): found.names[-1] for found in DEFINITIONS if "extra_params" in found.names}
    assert accepting == dict.fromkeys(forms, "extra_params")
    assert len(forms) == 9


def test_extra_params_docstring_is_the_same_in_every_operation():
    docstrings = [found.function.__doc__ or "" for found in DEFINITIONS if "extra_params" in found.names]
    texts = [re.findall(r":param extra_params:(?:.|\n)*?(?=\n\n|\n        :)", docstring) for docstring in docstrings]
    assert texts == [texts[0]] * 9
    assert len(texts[0]) == 1


def test_extra_params_are_sent_after_the_named_parameters():
    request = Messages.create(
        extra_params={
            "Tags": {"a": 1},
            "Flag": True,
            "When": datetime(2026, 1, 31, 8, tzinfo=UTC),
            "Day": date(2026, 1, 31),
            "Most": Decimal("1.50"),
            "Item": ["one", "two"],
            "Nothing": None,
            "Empty": "",
        },
        body="hi",
        to=TO,
    )
    assert request.data == (
        ("To", TO),
        ("Body", "hi"),
        ("Tags", '{"a": 1}'),
        ("Flag", "true"),
        ("When", "2026-01-31T08:00:00Z"),
        ("Day", "2026-01-31"),
        ("Most", "1.50"),
        ("Item", "one"),
        ("Item", "two"),
        ("Empty", ""),
    )


def test_extra_params_are_not_a_wire_name():
    assert "extra_params" not in definition(Messages.create).wire_names
    assert Messages.create(to=TO, body="hi", extra_params=None) == Messages.create(to=TO, body="hi", extra_params={})


@pytest.mark.parametrize(
    ("extra_params", "message"),
    [
        ({"To": TO}, "extra_params contains To, a parameter of this operation: pass it as to"),
        ({"FROM": TO}, "extra_params contains FROM, a parameter of this operation: pass it as from_"),
        ({"mediaUrl": "https://a"}, "extra_params contains mediaUrl, .* pass it as media_url"),
        ({"media_url": "https://a"}, "extra_params contains media_url, .* pass it as media_url"),
        ({"validityPeriod": None}, "extra_params contains validityPeriod, .* pass it as validity_period"),
        ({"": "x"}, "extra_params has a key that is empty or not a string"),
        ({" ": "x"}, "extra_params has a key that is empty or not a string"),
        ({1: "x"}, "extra_params has a key that is empty or not a string"),
        ({"x\ud83d": "x"}, "extra_params contains a lone surrogate at index 1"),
        ({"New": object()}, r"extra_params\['New'\] is of type object"),
        ({"New": [float("nan")]}, r"extra_params\['New'\] is nan"),
        ([("New", "x")], "extra_params is of type list: pass a mapping"),
        ("New=x", "extra_params is of type str: pass a mapping"),
        ("", "extra_params is of type str: pass a mapping"),
    ],
)
def test_extra_params_are_checked_by_build_and_check(extra_params: Any, message: str):
    with pytest.raises(BadParameter, match=message):
        Messages.create(to=TO, body="hi", extra_params=extra_params)
    with pytest.raises(BadParameter, match=message):
        definition(Messages.create).check({"to": TO, "body": "hi", "extra_params": extra_params})


def test_extra_params_may_be_unresolved():
    create = definition(Messages.create)
    create.check({"to": TO, "body": "hi", "extra_params": UNRESOLVED})
    create.check({"to": TO, "body": "hi", "extra_params": {"New": UNRESOLVED}})
    with pytest.raises(BadParameter, match="pass it as to"):
        create.check({"to": TO, "body": "hi", "extra_params": {"New": UNRESOLVED, "to": UNRESOLVED}})


def test_extra_params_name_renamed_parameters_by_their_own_names():
    with pytest.raises(BadParameter, match=r"contains Timeout, .* pass it as ring_timeout"):
        calls.Calls.create(to=TO, url="https://example.com", extra_params={"Timeout": 5})
    number = phone_numbers.IncomingPhoneNumbers
    with pytest.raises(BadParameter, match=r"contains AccountSid, .* pass it as transfer_to_account_sid"):
        number.update("PN" + "0" * 32, extra_params={"AccountSid": "AC" + "0" * 32})


def test_update_accepts_extra_params_alone():
    new = {"New": "x"}
    requests: list[Request[Any]] = [
        Messages.update(SM, extra_params=new),
        calls.Calls.update("CA" + "0" * 32, extra_params=new),
        accounts.Accounts.update("AC" + "0" * 32, extra_params=new),
    ]
    assert [request.data for request in requests] == [(("New", "x"),)] * 3
    with pytest.raises(BadParameter, match="is missing"):
        Messages.update(SM, extra_params={})
    with pytest.raises(BadParameter, match="is missing"):
        accounts.Accounts.update("AC" + "0" * 32, extra_params={})

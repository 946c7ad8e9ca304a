"""Ask a person by message, and go on as they answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    conf,
    skip_all_except,
)
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, NotFound, OptedOut
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.links.twilio import TwilioLogLink
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.triggers.approvals import AnswerTrigger

# What is of `triggers`, and what waits, is imported where it is used: where a DAG is parsed it would be dear.

ASKED = ("to", "question", "from_", "messaging_service_sid")
ANSWERS = ("yes", "no", "timeout", "unreachable")
SAMPLE = "SM" + "0" * 32


class ApproveBySmsOperator(SendOnceOperator):
    """Ask a phone by message, and wait for its YES or NO.

    The question ends with how to answer, such as ``Reply YES 4821 or NO 4821 within 30 min``. What counts comes from
    that phone to the number that asked, in time, and names the code. YES lets the tasks downstream run and NO skips
    them; no answer in time fails the task, and so does a phone that can't be reached or says STOP. ``follow`` chooses
    otherwise. Where it, or a task directly downstream, is mapped, NO skips this task itself, and what is mapped, or
    downstream of what is, goes by its own trigger rule, which is ``all_success`` unless told. The answer goes to XCom:
    ``answer``, ``by`` (masked), ``answered_at``, ``sid``, ``reply_sid``.

    It is asked once, whatever is retried, killed or lost, and the time counts from then.

    :param to: the phone that is asked, in E.164, or a channel address. (templated)
    :param question: the text, to which the way to answer is added. (templated)
    :param from_: the number that asks, where the connection's extra ``from_`` isn't it. (templated)
    :param messaging_service_sid: the messaging service that chooses the number. (templated)
    :param code: whether an answer must name a code of four digits. Without one a bare YES counts, if this is the only
        question to that phone that is open.
    :param follow: the tasks directly downstream that run, by what comes of it: ``yes``, ``no``, ``timeout``,
        ``unreachable``; such as ``{"no": "roll_back"}``. Those named for another outcome are skipped. Not where this
        task, or one directly downstream, is mapped or in a mapped task group.
    :param poll_interval: seconds between two looks.
    :param wait_timeout: whole seconds from the send within which an answer counts; up to a week.
    :param deferrable: wait in the triggerer, which costs no worker slot; by default as ``[operators]
        default_deferrable`` says.
    :param once: ``False`` sends in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unresolved: what to do when the outcome of an earlier try is not known, and Twilio lists nothing that
        fits: ``send``, or ``fail``; by default messages and calls are sent, and purchases and new accounts fail.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    _extra_template_fields = ASKED
    template_fields = (*ASKED, "twilio_conn_id", "account_sid")
    operator_extra_links = (TwilioLogLink(),)
    inherits_from_skipmixin = True
    ui_color = "#e6e0f8"
    _code: str | None = None

    to: str
    question: str
    from_: str | None
    messaging_service_sid: str | None
    code: bool
    follow: Mapping[str, str | Sequence[str]] | None
    poll_interval: float
    wait_timeout: float
    deferrable: bool

    def __init__(
        self,
        *,
        to: str,
        question: str,
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        code: bool = True,
        follow: Mapping[str, str | Sequence[str]] | None = None,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        once: bool = True,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        from airflow_provider_twilio.runtime.approval import MAX_QUESTION_SECONDS

        super()._check_parameters(values)
        interval, timeout = values["poll_interval"], values["wait_timeout"]
        if interval is not UNRESOLVED and interval <= 0:
            raise BadParameter("poll_interval", f"is {interval}", "give seconds above 0")
        if timeout is not UNRESOLVED and (not 1 <= timeout <= MAX_QUESTION_SECONDS or timeout != int(timeout)):
            raise BadParameter("wait_timeout", f"is {timeout}", f"give whole seconds, 1 to {MAX_QUESTION_SECONDS:.0f}")
        if values["follow"] is not UNRESOLVED:
            for name in values["follow"] or ():
                checks.choice("follow", name, ANSWERS)
        if timeout is not UNRESOLVED:
            arguments = cls._message_arguments({name: values[name] for name in ASKED}, None, timeout)
            definition(Messages.create).check(arguments)

    @classmethod
    def _message_arguments(cls, given: Mapping[str, Any], code: str | None, wait_timeout: float) -> dict[str, Any]:
        """Return the arguments of the message that asks the question."""
        from airflow_provider_twilio.runtime.approval import Question

        checks.required(question=given["question"])
        _can_answer("from_", given["from_"])
        asked = Question(code, 0.0, wait_timeout)
        body = UNRESOLVED if given["question"] is UNRESOLVED else asked.format(given["question"])
        return {**{name: given[name] for name in ASKED if name != "question"}, "body": body}

    def _request(self, **instead: Any) -> Request[Message]:
        """Build the question's message, the same in every try."""
        given = {name: parse_rendered(name, getattr(self, name), "str") or None for name in ASKED}
        return Messages.create(**self._message_arguments({**given, **instead}, self._code, self.wait_timeout))

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Refuse a sender that can't be answered, also where the connection supplies it."""
        from airflow_provider_twilio.client.prepare import complete

        _can_answer("from_", complete(self.hook.client.settings, request).get("From"))
        return request

    def execute(self, context: Context) -> Any:
        """Ask, and wait. Errors that would come again fail the task at once."""
        from airflow_provider_twilio.runtime.polling.events import wait_event as outcome

        with fail_on_permanent_errors():
            if self.follow and self._mapped(context):
                remedy = "leave it out, or put an EmptyOperator between the question and mapped work"
                raise BadParameter("follow", "is given where the task, or one directly behind it, is mapped", remedy)
            self._code = self._derived(context) if self.code else None
            self._trigger(SAMPLE, time.time(), None)  # its arguments, before it's too late
            try:
                record = Message(self._send(context))
            except BadParameter:
                raise
            except (OptedOut, InvalidRequest) as error:
                return self._end(context, outcome(SAMPLE, "failed", f"the question was refused: {error}"))
            if not record.get("sid"):  # what is behind it is no dry run
                return self._end(context, outcome(SAMPLE, "failed", "a dry run asks nobody"))
            TwilioLogLink.show(context, self.hook.client.settings, record["sid"])
            trigger = self._trigger(record["sid"], self._sent_at(context, record).timestamp(), self._sender(record))
            if self.deferrable:
                # Airflow may fail a wait that ends at once, and did perhaps: a retry's own could fail likewise.
                told = trigger.check(self.hook.client) if context["ti"].try_number > 1 else None
                if told is None:
                    self.defer(trigger=trigger, method_name="execute_complete")
            else:
                told = trigger.wait(self.hook.client)
            return self._end(context, told)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on as the trigger's event says; no request is made."""
        return self._end(context, event)

    def _derived(self, context: Context) -> str:
        """Derive a code that is the same in every try of this task, and that none can tell without the credentials."""
        from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash

        ti = context["ti"]
        clears = ti.max_tries if self.on_clear == "resend" else 0
        names = [ti.dag_id, ti.run_id, ti.task_id, ti.map_index, clears]
        return f"{int(KeyedHash.from_settings(self.hook.client.settings).json(names), 16) % 9000 + 1000}"

    def _sender(self, record: Message) -> str | None:
        """Give the number that has asked; None while Twilio has not chosen it."""
        for pause in (0.5, 1.0, 2.0):
            if record.from_:
                break
            time.sleep(pause)
            try:
                record = self.hook.client.send(Messages.fetch(record["sid"]))
            except NotFound:  # just sent
                continue
        _can_answer("the sender that Twilio has chosen", record.from_)
        return record.from_

    def _trigger(self, sid: str, asked: float, sender: str | None) -> AnswerTrigger:
        from airflow_provider_twilio.triggers.approvals import AnswerTrigger

        return AnswerTrigger(
            sid,
            to=self.to,
            from_=sender,
            code=self._code,
            created=asked,
            deadline=asked + self.wait_timeout,
            poll_interval=self.poll_interval,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
        )

    def _end(self, context: Context, told: Mapping[str, Any]) -> Any:
        answer = {"timeout": "timeout", "failed": "unreachable"}.get(told["outcome"], told.get("answer"))
        reason = told.get("reason")
        self.log.info("%s answers: %s%s", mask(self.to), answer, f" ({reason})" if reason else "")
        follow = self.follow or {}
        if answer not in ("yes", "no") and answer not in follow:
            raise AirflowFailException(f"{'unreachable' if answer == 'unreachable' else 'not approved'}: {reason}")
        result = {
            "answer": answer,
            "by": mask(self.to) if told.get("reply_sid") else None,
            "answered_at": told.get("answered_at"),
            "sid": None if told["sid"] == SAMPLE else told["sid"],
            "reply_sid": told.get("reply_sid"),
            "reason": reason,
        }
        if answer != "yes" or follow:
            self._branch(context, str(answer), follow, result)
        return result

    def _mapped(self, context: Context) -> bool:
        """Tell whether the task, or one directly behind it, is mapped: then not every Airflow lets it skip that one."""
        behind = [self.dag.get_task(name) for name in self.downstream_task_ids]
        return context["ti"].map_index not in (None, -1) or any(task.get_needs_expansion() for task in behind)

    def _branch(
        self, context: Context, answer: str, follow: Mapping[str, str | Sequence[str]], result: dict[str, Any]
    ) -> None:
        """Skip the tasks that are not to run, which ends this one: so what goes to XCom goes there before."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=result)
        named = {name: [tasks] if isinstance(tasks, str) else list(tasks) for name, tasks in follow.items()}
        chosen = named.get(answer)
        if chosen is None and answer == "yes":
            others = {task for tasks in named.values() for task in tasks}
            chosen = [task for task in sorted(self.downstream_task_ids) if task not in others]
        mapped = self._mapped(context)
        with suppress(*[DownstreamTasksSkipped] if mapped else ()):
            skip_all_except(context, chosen or None)
        if mapped:
            raise AirflowSkipException(f"{mask(self.to)} answers: {answer}")


def _can_answer(name: str, sender: str | None) -> None:
    """Refuse an alphanumeric sender: no phone can answer it."""
    if sender is None or sender is UNRESOLVED or ":" in sender or not any(letter.isalpha() for letter in sender):
        return
    raise BadParameter(name, "is alphanumeric, and can't be answered", "ask from a number or a short code")

"""Generate the signatures and parameter descriptions of operators: ``python -m scripts.spell_operators [--check]``.

Airflow, ``default_args``, ``partial()``, editors and type checkers need explicit signatures in the source. To keep them
consistent, this script writes them into the operators' files. The parameters of an operator are those of its operation,
its own, and those of its base classes. Their descriptions have the same origins. An operator's own parameters are
written by hand in its file and stay unchanged. The tables below list the exceptions.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import Definition, definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.operators._base.operation import TwilioOperator

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_twilio"
WIDTH = 120
SUPER = "        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)"

# Parameters that Twilio documents as reserved or without effect. The hook has them, the operators do not.
OMITTED = {"max_price", "force_delivery"}

SEARCH = (
    "country", "kind", "area_code", "contains", "sms_enabled", "mms_enabled", "voice_enabled", "fax_enabled",
    "in_region", "in_locality",
)  # fmt: skip
NUMBER_SETTINGS = (
    "sms_url", "sms_method", "sms_fallback_url", "sms_fallback_method", "sms_application_sid", "voice_url",
    "voice_method", "voice_fallback_url", "voice_fallback_method", "voice_application_sid", "voice_caller_id_lookup",
    "voice_receive_mode", "status_callback", "status_callback_method", "trunk_sid",
)  # fmt: skip
MORE_SETTINGS = (
    "bundle_sid", "identity_sid", "address_sid", "emergency_status", "emergency_address_sid", "api_version",
    "extra_params",
)  # fmt: skip
CREATE_OPTIONS = tuple(name for name in definition(Messages.create).names if name not in ("to", *OMITTED))
# Operators without a single operation: the names of their own leading parameters, then the operations with the names of
# the shared parameters.
SOURCES: dict[str, tuple[Any, ...]] = {
    "SendMessagesOperator": (("recipients",), (Messages.create, CREATE_OPTIONS)),
    "EnsureNumberOperator": (
        ("friendly_name",),
        (AvailablePhoneNumbers.list, SEARCH),
        (IncomingPhoneNumbers.create, (*NUMBER_SETTINGS, *MORE_SETTINGS)),
    ),
    "UpdateNumbersOperator": (("phone_numbers",), (IncomingPhoneNumbers.update, NUMBER_SETTINGS)),
}

# Annotations and defaults that differ from the operation's.
SIGNATURES: dict[tuple[str, str], str] = {
    ("ReleaseNumberOperator", "phone_number_sid"): "str | None = None",
    ("EnsureNumberOperator", "kind"): (
        'Literal["Local", "TollFree", "Mobile", "National", "Voip", "SharedCost", "MachineToMachine"] = "Local"'
    ),
}


def send_once_texts(operator: str, action: str, noun: str, done: str, default: str) -> dict[tuple[str, str], str]:
    """Return the descriptions of the parameters of SendOnceOperator, in the words of an operator.

    :param action: What the operator does, such as "send the message" or "buy one number".
    :param noun: The record that it creates, such as "message".
    :param done: Past participle of the verb, such as "sent".
    :param default: Default of ``on_unresolved``: ``resend`` or ``fail``.
    """
    other = "fail" if default == "resend" else "resend"
    verb, article, created = action.split()
    if article == "the":
        once, repeated, again = "once", "it", f"the {created} again"
    else:
        once, repeated, again = "only", "another one", f"another {created}"
    return {
        (operator, "once"): (
            f"Whether all tries of the task together {action} {once}. If ``False``, every try {verb}s {repeated}."
        ),
        (operator, "on_clear"): (
            f"Whether a task that a user clears {verb}s {again} (``resend``), or returns the record of the {noun} that"
            f" it has already {done} (``skip``)."
        ),
        (operator, "on_unresolved"): (
            f"Whether to ``{default}`` (default) or ``{other}`` if the outcome of an earlier try is unknown and Twilio"
            " lists no matching record."
        ),
        (operator, "reconcile_timeout"): (
            f"Seconds after the connection timeout during which Twilio's list is polled before a {noun} of an earlier"
            f" try is considered not {done}."
        ),
    }


ROW_VALUES = "``{name}`` stands for the value in a row's column ``name``; write ``{{`` and ``}}`` for braces."

# Descriptions that differ from those of the operation or the base class.
TEXTS: dict[tuple[str, str], str] = {
    **send_once_texts("SendMessageOperator", "send the message", "message", "sent", "resend"),
    **send_once_texts("ApproveBySmsOperator", "send the question", "message", "sent", "resend"),
    **send_once_texts("CreateCallOperator", "place the call", "call", "placed", "resend"),
    **send_once_texts("PurchaseNumberOperator", "buy one number", "number", "bought", "fail"),
    **send_once_texts("CreateAccountOperator", "open one subaccount", "subaccount", "opened", "fail"),
    **send_once_texts("EnsureNumberOperator", "buy one number", "number", "bought", "resend"),
    ("EnsureNumberOperator", "once"): (
        "Whether the task stores a purchase before it requests it. If ``False``, only the name identifies a number that"
        " an earlier try bought."
    ),
    ("EnsureNumberOperator", "on_clear"): (
        "Whether a task that a user clears searches for the number again (``resend``), or returns the record that it"
        " has stored (``skip``)."
    ),
    ("EnsureNumberOperator", "on_unresolved"): (
        "Whether to ``resend`` (default) or ``fail`` if the outcome of an earlier try is unknown and Twilio does not"
        " list the number. The request names that number, which cannot be bought twice."
    ),
    ("SendMessageOperator", "on_unresolved"): (
        "Whether to ``resend`` or ``fail`` if the outcome of an earlier try is unknown and Twilio lists no matching"
        ' record. By default ``resend``, and ``fail`` with ``address_retention="obfuscate"``.'
    ),
    ("SendMessageOperator", "wait_timeout"): (
        "Seconds after the message is sent, or after ``send_at``, at which the task fails without retry."
    ),
    ("CreateCallOperator", "url"): (
        "URL that returns the TwiML of the call. Pass exactly one of ``url``, ``twiml``, ``say`` and"
        " ``application_sid``. (templated)"
    ),
    ("PurchaseNumberOperator", "area_code"): (
        "Area code in which to search for an available number, 200 to 999 (US and Canada only). (templated)"
    ),
    ("CreateCallOperator", "wait_timeout"): "Seconds after the call is placed at which the task fails without retry.",
    ("SendMessageOperator", "from_"): (
        "Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required without"
        " ``messaging_service_sid``, unless the connection's extra ``from_`` is the sender. (templated)"
    ),
    ("SendMessagesOperator", "from_"): (
        "Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required without"
        " ``messaging_service_sid``, unless the connection's extra ``from_`` is the sender, or the rows name one."
        " (templated)"
    ),
    ("SendMessagesOperator", "body"): f"Message text, up to 1,600 characters. {ROW_VALUES} (templated)",
    ("SendMessagesOperator", "media_url"): (
        "URL of a media file to attach, or a list of up to 10. Accepts ``{name}`` as ``body`` does. (templated)"
    ),
    ("SendMessagesOperator", "content_variables"): (
        "Values for the variables of the content template, as a mapping or JSON. Accepts ``{name}`` as ``body`` does."
        " Requires ``content_sid``. (templated)"
    ),
    ("UpdateAccountOperator", "status"): (
        "``suspended`` or ``active``. To close an account, use :class:`CloseAccountOperator`. (templated)"
    ),
}


class Spelled(NamedTuple):
    """A parameter as it appears in an operator's file."""

    name: str
    signature: str
    text: str


def operator_files() -> Iterator[Path]:
    folder = ROOT / PACKAGE / "operators"
    yield from sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    yield ROOT / PACKAGE / "transfers" / "storage.py"


def descriptions(docstring: str | None) -> dict[str, str]:
    """Return the descriptions of a docstring's parameters, each on one line."""
    found = re.findall(r":param (\w+): (.+?)(?=\n:|\n\n|\Z)", inspect.cleandoc(docstring or ""), re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def operator_annotation(annotation: str) -> str:
    """Return the annotation of an operation's parameter for an operator, whose templates render strings."""
    parts = re.split(r" \| (?![^\[]*\])", annotation)
    if "str" not in parts and any(
        re.match(r"(bool|int|date|datetime|Sequence\[str\]|Mapping\[)", part) for part in parts
    ):
        place = parts.index("None") if "None" in parts else len(parts)
        parts.insert(place, "str")
    return " | ".join(parts)


def of_operation(
    operator: str, operation: Definition, names: tuple[str, ...], own: dict[str, Spelled]
) -> Iterator[Spelled]:
    """Yield the parameters that an operator shares with an operation.

    :param own: The parameters in the operator's file, with descriptions for parameters that the operation lacks.
    """
    texts = descriptions(operation.function.__doc__)
    for name in names:
        parameter = operation.parameters[name]
        default = "" if parameter.default is Parameter.empty else f" = {parameter.default!r}"
        signature = operator_annotation(str(parameter.annotation)) + default
        text = TEXTS.get((operator, name)) or (f"{texts[name]} (templated)" if name in texts else own[name].text)
        yield Spelled(name, SIGNATURES.get((operator, name), signature), text)


@cache
def class_source(operator_class: type) -> ast.ClassDef:
    tree = ast.parse(Path(inspect.getfile(operator_class)).read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == operator_class.__name__)


def of_bases(operator_class: type[TwilioOperator]) -> Iterator[Spelled]:
    """Yield the parameters that the base classes declare: their options and the connection."""
    for name in operator_class._options:
        owner = next(base for base in operator_class.__mro__ if name in vars(base).get("__annotations__", {}))
        declared = next(
            node
            for node in class_source(owner).body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name
        )
        assert declared.value is not None
        signature = f"{ast.unparse(declared.annotation)} = {as_written(declared.value)}"
        text = TEXTS.get((operator_class.__name__, name)) or descriptions(owner.__doc__)[name]
        yield Spelled(name, signature, text)
    texts = descriptions(TwilioOperator.__doc__)
    yield Spelled("twilio_conn_id", 'str = "twilio_default"', texts["twilio_conn_id"])
    yield Spelled("account_sid", "str | None = None", texts["account_sid"])


def as_written(value: ast.expr) -> str:
    """Return the source of an expression with double quotes."""
    return ast.unparse(value).replace("'", '"')


def own_parameters(node: ast.ClassDef, function: ast.FunctionDef) -> dict[str, Spelled]:
    """Return the parameters in an operator's file."""
    texts = descriptions(ast.get_docstring(node))
    found = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        assert argument.annotation is not None
        signature = as_written(argument.annotation) + ("" if default is None else f" = {as_written(default)}")
        name = argument.arg
        found[name] = Spelled(name, signature, texts.get(name, ""))
    return found


def parameters(operator_class: type[TwilioOperator], node: ast.ClassDef, function: ast.FunctionDef) -> list[Spelled]:
    """Return all parameters of an operator, in the order of its signature."""
    name, own = operator_class.__name__, own_parameters(node, function)
    shared: list[Spelled] = []
    if name in SOURCES:
        for source in SOURCES[name]:
            if isinstance(source[0], str):
                shared += [own[first] for first in source if isinstance(first, str)]
            else:
                shared += of_operation(name, definition(source[0]), source[1], own)
    elif hasattr(operator_class, "operation"):
        names = tuple(parameter for parameter in operator_class.operation.names if parameter not in OMITTED)
        shared += of_operation(name, operator_class.operation, names, own)
    bases = list(of_bases(operator_class))
    taken = {spelled.name for spelled in (*shared, *bases)}
    return [*shared, *(spelled for spelled in own.values() if spelled.name not in taken | OMITTED), *bases]


def spelled_signature(spelled: list[Spelled]) -> list[str]:
    """Return the lines of a signature."""
    return [
        "    def __init__(",
        "        self,",
        "        *,",
        *(f"        {parameter.name}: {parameter.signature}," for parameter in spelled),
        "        **kwargs: Unpack[OperatorParameters],",
        "    ) -> None:",
    ]


def spelled_texts(spelled: list[Spelled]) -> str:
    wrap = textwrap.TextWrapper(
        WIDTH, initial_indent="    ", subsequent_indent="        ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrap.fill(f":param {parameter.name}: {parameter.text}") for parameter in spelled)


def spell(path: Path, text: str | None = None) -> str:
    """Return a file's text with the signatures and descriptions of its operators.

    :param text: The text, if it is not the file's own.
    """
    text = path.read_text(encoding="utf-8") if text is None else text
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    lines = text.split("\n")
    for node in reversed(ast.parse(text).body):
        if not isinstance(node, ast.ClassDef) or not issubclass(getattr(module, node.name, object), TwilioOperator):
            continue
        functions = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if not functions:
            continue
        function, doc = functions[0], node.body[0]
        spelled = parameters(getattr(module, node.name), node, function)
        call = next(statement for statement in function.body if ast.unparse(statement).startswith("super().__init__("))
        lines[call.lineno - 1 : call.end_lineno] = [SUPER]
        lines[function.lineno - 1 : function.body[0].lineno - 1] = spelled_signature(spelled)
        assert isinstance(doc, ast.Expr)
        assert doc.end_lineno is not None
        docstring = "\n".join(lines[doc.lineno - 1 : doc.end_lineno])
        block = re.compile(r"^    :param .*?(?=^ *$\n|^    \"\"\"|^    :(?!param))", re.DOTALL | re.MULTILINE)
        texts = spelled_texts(spelled) + "\n"
        written = block.sub(texts.replace("\\", r"\\"), docstring, count=1)
        lines[doc.lineno - 1 : doc.end_lineno] = written.split("\n")
    return formatted(path, "\n".join(lines))


def formatted(path: Path, text: str) -> str:
    """Return code formatted by ruff."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(path), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    check = "--check" in sys.argv[1:]
    changed = []
    for path in operator_files():
        text = spell(path)
        if text != path.read_text(encoding="utf-8"):
            changed.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in changed:
        print(f"{name}: {'outdated: run python -m scripts.spell_operators' if check else 'written'}")
    return bool(check and changed)


if __name__ == "__main__":
    sys.exit(main())

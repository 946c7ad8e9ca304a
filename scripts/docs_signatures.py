"""Whole signatures for the documentation: an extension of griffe, which reads the code for it.

An operator's docstring names also the parameters that its base classes take, by way of `**kwargs`: they are added to
its signature, with their types and defaults. One that no base class takes stays unknown, and fails the strict build.
"""

from __future__ import annotations

from typing import Any

from griffe import Class, Extension, Function, Module, Parameter, ParameterKind


class InheritedParameters(Extension):
    """Add the documented parameters of base classes to each class's ``__init__``."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        walk(pkg)


def walk(scope: Module | Class) -> None:
    for member in scope.members.values():
        if member.is_alias:
            continue
        if isinstance(member, Class):
            complete(member)
        if isinstance(member, Class | Module):
            walk(member)


def complete(cls: Class) -> None:
    """Put a class's inherited parameters before its ``**kwargs``, as far as its docstring names them."""
    init = cls.members.get("__init__")
    if cls.docstring is None or not isinstance(init, Function):
        return
    rest = next((entry for entry in init.parameters if entry.kind is ParameterKind.var_keyword), None)
    if rest is None:
        return
    found = inherited(cls)
    wanted = [name for name in found if f":param {name}:" in cls.docstring.value and name not in init.parameters]
    del init.parameters[rest.name]
    for name in wanted:
        init.parameters.add(found[name])
    init.parameters.add(rest)


def inherited(cls: Class) -> dict[str, Parameter]:
    """Give the keyword parameters of all base classes that are this package's."""
    found: dict[str, Parameter] = {}
    for base in reversed(cls.mro()):
        init = base.members.get("__init__")
        if isinstance(init, Function):
            found |= {entry.name: entry for entry in init.parameters if entry.kind is ParameterKind.keyword_only}
    return found

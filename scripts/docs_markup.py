"""Markdown for the reference: an extension of griffe, which reads the docstrings for the documentation.

Docstrings use the markup of Sphinx, as Airflow's do. The documentation is built from Markdown. The extension converts
code blocks and cross-references.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Module, Object

CODE_BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1 +\S.*\n|\n)+)", re.MULTILINE)
CROSS_REFERENCE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(~?)([^`<]+)`")


class SphinxMarkup(Extension):
    """Convert the docstrings of a package from Sphinx's markup to Markdown."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Convert the docstrings of a package once it is complete."""
        convert(pkg)


def convert(scope: Object) -> None:
    """Convert the docstrings of an object and its members."""
    if scope.docstring is not None:
        scope.docstring.value = to_markdown(scope.docstring.value)
    for member in scope.members.values():
        if isinstance(member, Object):  # not an alias
            convert(member)


def to_markdown(text: str) -> str:
    """Return a docstring with fenced code blocks, and with the names of cross-references as code."""
    text = CODE_BLOCK.sub(_fenced, f"{text}\n")
    return CROSS_REFERENCE.sub(lambda match: f"`{_short(*match.groups())}`", text).rstrip("\n")


def _fenced(match: re.Match[str]) -> str:
    indent, language, block = match.groups()
    code = textwrap.indent(textwrap.dedent(block).strip("\n"), indent)
    return f"{indent}```{language}\n{code}\n{indent}```\n\n"


def _short(is_short: str, name: str) -> str:
    return name.rsplit(".", 1)[-1] if is_short else name

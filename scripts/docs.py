"""Generated pages of the documentation: a hook of MkDocs, which ``make docs`` runs.

The reference has a page for each module in the provider metadata. The example DAGs, the changelog and CONTRIBUTING
become pages as well, and links to these files lead to the pages.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from airflow_provider_twilio.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_twilio"

CLASSES = ["!^_", "!^[a-z]", "!^[A-Z_]+$"]
"""Filter of classes without their methods, which Airflow calls."""
ALL = ["!^_", "!^[A-Z_]+$"]
"""Filter of everything public, except constants."""
LINK_TARGETS = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../example_dags": "examples.md",
    "docs/": "",
}
TITLES = {
    "hooks.twilio": "TwilioHook",
    "notifications.twilio": "TwilioNotifier",
    "operators.bulk": "Bulk sends",
    "operators.ensure_number": "Ensuring a number",
    "operators.scheduled": "Scheduled messages",
    "operators.twilio": "Any other operation",
}
RESOURCES = ("messages", "calls", "phone_numbers", "accounts", "recordings", "usage")
SECTIONS = {
    "Operators": "operators",
    "Sensors": "sensors",
    "Notifiers": "notifications",
    "Transfers": "transfers",
    "Triggers": "triggers",
    "The hook": "hooks",
}


def modules(section: str) -> Iterator[str]:
    """Yield the modules in a section of the provider metadata, without the package's name."""
    for entry in get_provider_info().get(section, []):
        if isinstance(entry, str):  # notifiers are classes
            yield entry.rsplit(".", 1)[0].removeprefix(f"{PACKAGE}.")
        else:
            for module in entry.get("python-modules", [entry.get("python-module")]):
                yield module.removeprefix(f"{PACKAGE}.")


def title(module: str) -> str:
    """Return the title of a module's page: ``Phone numbers`` for ``operators.phone_numbers``."""
    return TITLES.get(module) or module.rsplit(".", 1)[1].replace("_", " ").capitalize()


def reference() -> dict[str, dict[str, tuple[str, list[str]]]]:
    """Return the module and the filter of each page of the reference, by section and title."""
    pages = {
        heading: {title(module): (module, ALL if section == "hooks" else CLASSES) for module in modules(section)}
        for heading, section in SECTIONS.items()
    }
    pages["The hook"] |= {f"hook.{name}": (f"api.{name}", ALL) for name in RESOURCES}
    pages["Errors and helpers"] = {
        "Errors": ("api.errors", ALL),
        "Webhook signatures": ("api.webhooks", ALL),
        "Segments": ("api.segments", ALL),
        "Retry policy": ("retry_policy", ALL),
    }
    return {heading: section_pages for heading, section_pages in pages.items() if section_pages}


def address(module: str) -> str:
    """Return the path of a module's page."""
    return f"reference/{module.replace('.', '/')}.md"


def exports(module: str) -> dict[str, str]:
    """Return the classes that a module exports from other modules of the package, with the modules that define them."""
    tree = ast.parse((ROOT / PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    exported = {
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
    }
    return {
        alias.name: node.module.removeprefix(f"{PACKAGE}.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name in exported
    }


def reference_page(name: str, module: str, filters: list[str]) -> str:
    """Return the page of a module. Classes that it exports from other modules are links to their pages."""
    exported = exports(module)
    links = [
        f"[`{exported_name}`]({source.rsplit('.', 1)[1]}.md#{PACKAGE}.{source}.{exported_name})"
        for exported_name, source in exported.items()
    ]
    note = f"\n\nThe module also exports {', '.join(links)}." if links else ""
    shown = json.dumps([*filters, *(f"!^{exported_name}$" for exported_name in exported)])
    return f"# {name}\n\n`{PACKAGE}.{module}`{note}\n\n::: {PACKAGE}.{module}\n    options:\n      filters: {shown}\n"


def example(file: Path) -> str:
    """Return the section of an example DAG: its docstring and its code."""
    source = file.read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    code = source.split('"""', 2)[2].strip()
    summary, _, rest = docstring.partition("\n")
    return f'## {summary.rstrip(".")}\n\n{rest}\n\n```python title="{file.relative_to(ROOT)}"\n{code}\n```\n'


def pages() -> dict[str, str]:
    """Return the Markdown of the generated pages, by path."""
    texts = {
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(),
        "examples.md": "\n".join(
            ["# Example DAGs", "", "These DAGs are in `example_dags/`. Tests run each of them unchanged.", ""]
            + [example(file) for file in sorted((ROOT / "example_dags").glob("*.py"))]
        ),
    }
    for section_pages in reference().values():
        for name, (module, filters) in section_pages.items():
            texts[address(module)] = reference_page(name, module, filters)
    return texts


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    nav: list[Any] = config.nav or []
    for entry in nav:
        if "Reference" in entry:
            entry["Reference"] = [
                {heading: [{name: address(module)} for name, (module, _) in section_pages.items()]}
                for heading, section_pages in reference().items()
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in docs/."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links to files outside docs/, which work in the repository, by links to the generated pages."""
    for path, name in LINK_TARGETS.items():
        markdown = markdown.replace(f"]({path}", f"]({name}")
    return markdown

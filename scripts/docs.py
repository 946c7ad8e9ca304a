"""Pages that are written elsewhere already: a hook of MkDocs's, which `make docs` runs.

The reference has a page for each module that the provider info names, so that none is forgotten. The example DAGs, the
changelog and CONTRIBUTING are shown as they stand, and links to them lead there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from airflow_provider_twilio.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_twilio"

CLASSES = '["!^_", "!^[a-z]", "!^[A-Z_]+$"]'  # an operator's parameters are of interest, not what Airflow calls
ALL = '["!^_", "!^[A-Z_]+$"]'  # but for constants
ELSEWHERE = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../example_dags": "examples.md",
}
TITLES = {
    "hooks.twilio": "TwilioHook",
    "notifications.twilio": "TwilioNotifier",
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
    """Name the modules of a section of the provider info, below the package."""
    for entry in get_provider_info().get(section, []):
        if isinstance(entry, str):  # notifiers are classes
            yield entry.rsplit(".", 1)[0].removeprefix(f"{PACKAGE}.")
        else:
            for module in entry.get("python-modules", [entry.get("python-module")]):
                yield module.removeprefix(f"{PACKAGE}.")


def title(module: str) -> str:
    """Turn `operators.phone_numbers` into `Phone numbers`."""
    return TITLES.get(module) or module.rsplit(".", 1)[1].replace("_", " ").capitalize()


def reference() -> dict[str, dict[str, tuple[str, str]]]:
    """Give the pages of the reference: by section and title, the module and which of its names are shown."""
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
    return {heading: found for heading, found in pages.items() if found}


def address(module: str) -> str:
    return f"reference/{module.replace('.', '/')}.md"


def example(file: Path) -> str:
    """Show an example DAG: what it teaches is its docstring."""
    source = file.read_text()
    said = ast.get_docstring(ast.parse(source)) or ""
    code = source.split('"""', 2)[2].strip()
    first, _, rest = said.partition("\n")
    return f'## {first.rstrip(".")}\n\n{rest}\n\n```python title="{file.relative_to(ROOT)}"\n{code}\n```\n'


def pages() -> dict[str, str]:
    """Write all of these pages: by address, their Markdown."""
    written = {
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(),
        "examples.md": "\n".join(
            ["# Example DAGs", "", "Each runs as it stands, and a test runs it. They are in `example_dags/`.", ""]
            + [example(file) for file in sorted((ROOT / "example_dags").glob("*.py"))]
        ),
    }
    for found in reference().values():
        for name, (module, shown) in found.items():
            written[address(module)] = (
                f"# {name}\n\n`{PACKAGE}.{module}`\n\n::: {PACKAGE}.{module}\n    options:\n      filters: {shown}\n"
            )
    return written


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference into the navigation."""
    nav: list[Any] = config.nav or []
    for entry in nav:
        if "Reference" in entry:
            entry["Reference"] = [
                {heading: [{name: address(module)} for name, (module, _) in found.items()]}
                for heading, found in reference().items()
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of docs/."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/, which is what they do on a forge, to the pages made here."""
    for path, name in ELSEWHERE.items():
        markdown = markdown.replace(f"]({path}", f"]({name}")
    return markdown

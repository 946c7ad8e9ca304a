"""Tests of the documentation site: its strict build, its reference pages, and its independence of other sites."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from inspect import getmodule, isclass
from pathlib import Path

import pytest

from scripts import docs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site. Dead links, pages missing from the navigation and unknown parameters fail the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_site_loads_nothing_from_other_hosts(site: Path):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 20
    for page in pages:
        text = page.read_text()
        fetched = re.findall(r"<(?!a\b)\w+[^>]*?\s(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)", text)
        fetched += re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", text)
        assert fetched == [], page


def test_site_reference_contains_every_public_class(site: Path):
    pages = {module for section in docs.SECTIONS.values() for module in docs.modules(section)}
    assert {"hooks.twilio", "operators.messages", "sensors.calls"} <= pages
    for name in pages:
        text = (site / docs.address(name)).with_suffix(".html").read_text()
        module = import_module(f"{docs.PACKAGE}.{name}")
        for public, value in vars(module).items():
            if isclass(value) and getmodule(value) is module and public == value.__name__ and public[0] != "_":
                assert f'id="{module.__name__}.{public}"' in text, f"{public} is not in the page of {name}"


def test_site_reference_contains_each_operator_once(site: Path):
    pages = [page.read_text() for page in sorted((site / "reference" / "operators").glob("*.html"))]
    identifiers = [
        name for text in pages for name in re.findall(r'id="airflow_provider_twilio[\w.]*\.(\w+Operator)"', text)
    ]
    assert len(identifiers) == len(set(identifiers)) >= 34


def test_site_reference_renders_sphinx_markup(site: Path):
    for page in sorted((site / "reference").rglob("*.html")):
        text = re.sub(r"<[^>]+>", "", page.read_text())
        assert ".. code-block" not in text, page
        assert not re.search(r":(?:attr|class|data|exc|func|meth|mod):", text), page


def test_site_reference_shows_inherited_parameters(site: Path):
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "operators" / "messages.html").read_text())
    assert "wait_timeout: float = 3600.0," in text
    assert "once: bool = True," in text

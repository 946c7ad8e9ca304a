"""Stoplight's Prism, with Twilio's OpenAPI description: what `make contract` and benchmarks/emulator.py need of Node.

Both are fetched by npm into build/prism/, which git ignores; nothing of them is in the package.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "prism"
PRISM = "@stoplight/prism-cli@5.14.2"
DESCRIBED_BY = "@twilio/cli-core@9.0.0"
NEAR = ROOT.parent / "shared" / "openapi" / "twilio_api_v2010.json"
OLDEST_NODE = 18


class Missing(Exception):
    """Say why there is no Prism here."""


def _run(*command: str, cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]} does not run: {type(error).__name__}") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise Missing(f"{' '.join(command[:2])} failed: {last}")
    return done.stdout


def prism() -> Path:
    """Give Prism's command, installed if need be."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Missing(f"there is no {tool} here")
    HOME.mkdir(parents=True, exist_ok=True)
    version = _run("node", "--version", cwd=HOME).strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        raise Missing(f"Node is {version}; Prism wants {OLDEST_NODE} or newer")
    command = HOME / "node_modules" / ".bin" / "prism"
    if not command.exists():
        print(f"Installing {PRISM} into {HOME.relative_to(ROOT)} …", flush=True)
        _run("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(HOME), PRISM, cwd=HOME)
    if not command.exists():
        raise Missing(f"npm did not install {PRISM}")
    return command


def description() -> Path:
    """Give Twilio's description as Prism can read it."""
    if NEAR.exists():
        document = json.loads(NEAR.read_text(encoding="utf-8"))
    else:
        packed = _run("npm", "pack", DESCRIBED_BY, "--silent", cwd=HOME).strip().splitlines()[-1]
        with tarfile.open(HOME / packed) as archive:
            name = next((name for name in archive.getnames() if name.endswith("/twilio_api_v2010.json")), None)
            file = archive.extractfile(name) if name else None
            if file is None:
                raise Missing(f"there is no description in {DESCRIBED_BY}")
            document = json.load(file)
    patch(document)
    patched = HOME / "twilio_api_v2010.json"
    patched.write_text(json.dumps(document), encoding="utf-8")
    return patched


# Fields where the examples in the description contradict its schema: the same that tests/contract/test_emulator.py
# lists with the reasons.
_STRINGS = {
    "usage_record": ("price",),
    "available_phone_number": ("latitude", "longitude"),
}
_MAY_BE_EMPTY = ("sms_application_sid", "voice_application_sid", "sms_url", "sms_fallback_url", "status_callback")


def patch(document: dict[str, Any]) -> None:
    """Mend the description where it is at odds with itself.

    Arrays in forms are repeated keys, which it doesn't say; its relative addresses are no ``uri``; usage takes offsets
    such as ``-30days`` for dates, as its text says; and where its own examples contradict a schema, the example wins.
    """
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            if not isinstance(operation, dict):
                continue
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in ("StartDate", "EndDate"):
                    parameter["schema"].pop("format", None)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                form = content["schema"]
                form = schemas[form["$ref"].rpartition("/")[2]] if "$ref" in form else form
                arrays = [name for name, field in form["properties"].items() if field.get("type") == "array"]
                if arrays:
                    content["encoding"] = {name: {"style": "form", "explode": True} for name in arrays}
            for response in operation.get("responses", {}).values():
                for content in response.get("content", {}).values():
                    for name, field in content["schema"].get("properties", {}).items():
                        if name.endswith("uri"):
                            field.pop("format", None)
    for name, schema in schemas.items():
        fields = schema.get("properties", {})
        if "uri" in fields:
            fields["uri"].pop("format", None)
        for part, strings in _STRINGS.items():
            if part in name:
                for field in set(strings) & set(fields):
                    fields[field]["type"] = "string"
        if "incoming_phone_number" in name:
            for field in set(_MAY_BE_EMPTY) & set(fields):
                for rule in ("format", "pattern", "minLength", "maxLength"):
                    fields[field].pop(rule, None)


class Prism:
    """Run Prism while inside ``with``: ``mock``, or ``proxy`` in front of another server."""

    def __init__(self, command: Path, kind: str, document: Path, *rest: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = HOME / f"{kind}.log"
        self._command = [str(command), kind, "-h", "127.0.0.1", "-p", str(self.port), str(document), *rest]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/ready", timeout=5).close()
            except urllib.error.HTTPError:
                return self
            except OSError:
                time.sleep(0.2)
            else:
                return self
        text = self.log.read_text(encoding="utf-8", errors="replace")
        self.__exit__(None, None, None)
        raise Missing(f"Prism did not start: {text[-500:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

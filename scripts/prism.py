"""Stoplight's Prism with Twilio's OpenAPI description.

`make contract` and benchmarks/emulator.py use it.

npm downloads both into build/prism/, which git ignores. The package contains neither of them.
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
FOLDER = ROOT / "build" / "prism"
PRISM = "@stoplight/prism-cli@5.14.2"
DESCRIPTION_PACKAGE = "@twilio/cli-core@9.0.0"
LOCAL_DESCRIPTION = ROOT.parent / "shared" / "openapi" / "twilio_api_v2010.json"
MIN_NODE_VERSION = 18


class PrismUnavailable(Exception):
    """Prism cannot run on this machine; the message gives the reason."""


def _run(*command: str, cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PrismUnavailable(f"{command[0]} cannot be run: {type(error).__name__}") from None
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise PrismUnavailable(f"{' '.join(command[:2])} failed: {last_line}")
    return done.stdout


def prism_command() -> Path:
    """Return the path of Prism's command. Install Prism if necessary."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise PrismUnavailable(f"{tool} is not installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    version = _run("node", "--version", cwd=FOLDER).strip()
    if int(version.lstrip("v").partition(".")[0]) < MIN_NODE_VERSION:
        raise PrismUnavailable(f"Node.js is {version}, and Prism needs {MIN_NODE_VERSION} or newer")
    command = FOLDER / "node_modules" / ".bin" / "prism"
    if not command.exists():
        print(f"Installing {PRISM} into {FOLDER.relative_to(ROOT)} …", flush=True)
        _run("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(FOLDER), PRISM, cwd=FOLDER)
    if not command.exists():
        raise PrismUnavailable(f"npm did not install {PRISM}")
    return command


def patched_description() -> Path:
    """Return the path of Twilio's description, corrected for Prism."""
    if LOCAL_DESCRIPTION.exists():
        document = json.loads(LOCAL_DESCRIPTION.read_text(encoding="utf-8"))
    else:
        archive_name = _run("npm", "pack", DESCRIPTION_PACKAGE, "--silent", cwd=FOLDER).strip().splitlines()[-1]
        with tarfile.open(FOLDER / archive_name) as archive:
            name = next((name for name in archive.getnames() if name.endswith("/twilio_api_v2010.json")), None)
            file = archive.extractfile(name) if name else None
            if file is None:
                raise PrismUnavailable(f"no description in {DESCRIPTION_PACKAGE}")
            document = json.load(file)
    patch(document)
    patched = FOLDER / "twilio_api_v2010.json"
    patched.write_text(json.dumps(document), encoding="utf-8")
    return patched


# Fields whose examples in the description contradict its schema. tests/contract/test_emulator.py has the reasons.
_STRING_FIELDS = {
    "usage_record": ("price",),
    "available_phone_number": ("latitude", "longitude"),
}
_OPTIONAL_FIELDS = (
    "sms_application_sid",
    "voice_application_sid",
    "sms_url",
    "sms_fallback_url",
    "status_callback",
)


def patch(document: dict[str, Any]) -> None:
    """Correct the description where it contradicts itself.

    It does not say that arrays in forms are repeated keys. Its relative URIs do not match the format ``uri``. Usage
    accepts offsets such as ``-30days`` as dates, as its text says. Where an example contradicts a schema, the example
    is right.
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
        for part, strings in _STRING_FIELDS.items():
            if part in name:
                for field in set(strings) & set(fields):
                    fields[field]["type"] = "string"
        if "incoming_phone_number" in name:
            for field in set(_OPTIONAL_FIELDS) & set(fields):
                for rule in ("format", "pattern", "minLength", "maxLength"):
                    fields[field].pop(rule, None)


class Prism:
    """A Prism server, which runs inside ``with``.

    :param mode: ``mock``, or ``proxy`` in front of another server.
    """

    def __init__(self, command: Path, mode: str, document: Path, *rest: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = FOLDER / f"{mode}.log"
        self._command = [str(command), mode, "-h", "127.0.0.1", "-p", str(self.port), str(document), *rest]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
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
        raise PrismUnavailable(f"Prism did not start: {text[-500:]}")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

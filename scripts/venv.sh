#!/usr/bin/env bash
# Install the packages of a lock file, and no others, into a virtual environment, and this package, editable.
#
#   scripts/venv.sh VENV LOCK [PYTHON]
#
# PYTHON is python3 by default. uv does the work where it can be installed, otherwise pip.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 lock=$2 python=${3:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" --version 2>&1 || true); Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
in_venv=$venv/bin/python
quiet=(--quiet --disable-pip-version-check)

if "$in_venv" -m pip install "${quiet[@]}" "$(grep '^uv==' "$lock")" && "$in_venv" -m uv --version >/dev/null; then
    uv=("$in_venv" -m uv pip)
    "${uv[@]}" sync --quiet --python "$in_venv" "$lock"
    "${uv[@]}" install --quiet --python "$in_venv" --no-deps --no-build-isolation --editable .
else
    echo "uv cannot be installed: using pip, which is slower" >&2
    grep -v '^uv==' "$lock" >"$venv/without-uv.txt"
    "$in_venv" -m pip install "${quiet[@]}" -r "$venv/without-uv.txt"
    "$in_venv" -m pip install "${quiet[@]}" --no-deps --no-build-isolation --editable .
fi

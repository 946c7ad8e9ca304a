#!/usr/bin/env bash
# Rewrite requirements/airflow-*.txt from requirements/*.in and setup.cfg, for every supported Python at once.
#
#   scripts/lock.sh PYTHON        a Python that has uv
#
# Newest versions of everything; the files name no index, so that they hold behind a mirror too.
set -euo pipefail
cd "$(dirname "$0")/.."

for wanted in requirements/airflow-*.in; do
    lock=${wanted%.in}.txt
    "$1" -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-emit-find-links \
        --custom-compile-command 'make lock' --output-file "$lock" setup.cfg "$wanted"
    echo "$lock: $(grep -c '==' "$lock") packages"
done

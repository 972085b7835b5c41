#!/bin/sh
# Find a Python that runs and is in range, then let it build the environment.
#   PYTHON=python3.12  use this one    VENV=.venv  where the environment goes
set -u
install='install one (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev)'
in_range() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
        >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if ! in_range "$PYTHON"; then
        found=$("$PYTHON" --version 2>&1) || found='it does not run'
        found=$(printf '%s\n' "$found" | head -n 1)
        echo "error: PYTHON=$PYTHON must be Python 3.10, 3.11 or 3.12," \
            "but got: $found; leave PYTHON out to have one found, or" \
            "$install" >&2
        exit 1
    fi
    chosen=$PYTHON
else
    chosen=
    for candidate in python3.11 python3.12 python3.10 python3 python; do
        if in_range "$candidate"; then
            chosen=$candidate
            break
        fi
    done
    if [ -z "$chosen" ]; then
        echo "error: Python 3.10, 3.11 or 3.12 is needed, but none was" \
            "found on PATH; $install or name it: make env" \
            "PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
fi
exec "$chosen" "$(dirname "$0")/build_env.py" --venv "${VENV:-.venv}"

# Sourced by quickstart.sh and test.sh: makes a virtual environment beside the repository and installs mnas into it, once.
# Sets PYTHON to the environment's interpreter. Usage: make_environment FOLDER EXTRAS ("" or "[dev]").

find_python() {
    # TensorFlow decides: Python 3.10 to 3.13. 3.11 first, because tflite-runtime ends there.
    for name in "${MNAS_PYTHON:-}" python3.11 python3.12 python3.13 python3.10 python3 python; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "mnas needs Python 3.10 to 3.13 with venv. On Debian: apt-get install python3 python3-venv" >&2
    echo "(or say which one to use: MNAS_PYTHON=/path/to/python bash $0)" >&2
    return 1
}

make_environment() {
    folder=$1 extras=$2
    PYTHON=$folder/bin/python
    wanted=$(cksum <"$ROOT/pyproject.toml")"$extras"
    if [ -x "$PYTHON" ] && [ "$(cat "$folder/.mnas-installed" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    base=$(find_python) || return 1
    echo "Making a virtual environment in $folder and installing mnas (once; a few minutes, 2.5 GB) ..."
    rm -f "$folder/.mnas-installed"
    "$base" -m venv --clear "$folder" || return 1
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable "$ROOT$extras" || return 1
    echo "$wanted" >"$folder/.mnas-installed"
}

#!/usr/bin/env bash
# An environment in FOLDER with mnas and tflite-runtime, the runtime that older boards still run: it wants numpy below 2 and
# Python 3.11 or older, so the development environment cannot hold it. No TensorFlow: measuring needs none.
# Usage: bash tools/environments/tflite_runtime.sh FOLDER; then FOLDER/bin/python -m mnas profile --runtime tflite-runtime ... (450 MB).
set -euo pipefail
folder=$(mkdir -p "${1:?usage: bash tools/environments/tflite_runtime.sh FOLDER}" && cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
check=(-c 'import numpy, tflite_runtime, mnas.devices.local; print(numpy.__version__, tflite_runtime.__version__)')
if [ -x "$folder/bin/python" ] && "$folder/bin/python" "${check[@]}" 2>/dev/null; then
    exit # it is there
fi
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' || {
    echo "tflite-runtime needs Python 3.10 or 3.11, and $python is none: say PYTHON=/path/to/python3.11" >&2
    exit 1
}
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'numpy<2' tflite-runtime==2.14.0 ai-edge-litert \
    flatbuffers lazy_loader msgspec safetensors scipy scikit-learn typer rich jinja2 pillow 'tomli; python_version < "3.11"'
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable "$root"
"$folder/bin/python" "${check[@]}"

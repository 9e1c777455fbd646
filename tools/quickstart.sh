#!/usr/bin/env bash
# From nothing to a network designed for this machine: an environment, the package, `mnas quickstart`.
# Arguments are handed on, e.g. `bash tools/quickstart.sh --out my-run`.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/environment.sh"
make_environment "$ROOT/.venv" ""
exec "$PYTHON" -m mnas quickstart "$@"

#!/usr/bin/env bash
# The one gate: format, lint, import contracts, types, tests. Arguments are handed to pytest.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/environment.sh"
make_environment "$ROOT/.venv-dev" "[dev]"
cd "$ROOT"
step() {
    echo "== $1"
    shift
    "$@"
}
step format "$PYTHON" -m ruff format --check .
step lint "$PYTHON" -m ruff check .
step "import contracts" "$(dirname "$PYTHON")/lint-imports" --no-cache
step types "$PYTHON" -m mypy
# Two files at a time: half of the tests wait for other processes. `-n 0` among the arguments runs one after the other.
step tests "$PYTHON" -m pytest -n 2 --dist loadfile "$@"

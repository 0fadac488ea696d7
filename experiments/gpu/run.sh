#!/usr/bin/env bash
# Everything that wants a GPU, in at most 8 minutes: see README.md.
#   experiments/gpu/run.sh            # results go to $OUT, or to ./gpu-results
set -euo pipefail
top="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PYTHONPATH="$top/src:$top/tests:$top/experiments${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" "$top/experiments/gpu/run.py" --out "${OUT:-gpu-results}" "$@"

#!/usr/bin/env bash
# A user of aihwkit with the file of a network that he trained there: the same network and device in a report.
#   experiments/first_hour/aihwkit_user/run.sh         (driftproof and python on the PATH)
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
mkdir -p "$out"
python trained.py "$out/analog.pt"
python evaluate.py "$out/analog.pt" "$out/report"

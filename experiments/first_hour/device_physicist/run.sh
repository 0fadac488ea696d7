#!/usr/bin/env bash
# A device physicist with the export of a probe station: a preset of his devices, and what a network does on them.
#   experiments/first_hour/device_physicist/run.sh     (driftproof and python on the PATH)
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
mkdir -p "$out"
python instrument.py "$out/lab.csv"
driftproof presets fit "$out/lab.csv" --columns g_target_us="Goal (µS)" --voltage 0.1 --family ReRAM \
    --out "$out/my-reram.toml"
driftproof presets show "$out/my-reram.toml" --out "$out/card.html"
driftproof evaluate digits-cnn --data digits --preset "$out/my-reram.toml" --preset reram-wan-2022 \
    --times 1s,1h,1d --chips 25 --out "$out/report"

#!/usr/bin/env bash
# An architect who compares converters: three devices behind three peripheries, on the same chips.
#   experiments/first_hour/architect/run.sh            (driftproof and python on the PATH)
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
mkdir -p "$out"
python network.py "$out/net.pt"
python converters.py "$out/six.toml"
driftproof evaluate network.py:net --weights "$out/net.pt" --data network.py:test_set \
    --preset pcm-nandakumar-2019 --preset reram-wan-2022 --preset sonos-agrawal-2022 \
    --periphery ideal --periphery standard --periphery "$out/six.toml" --calibration-data network.py:calibration \
    --times 1s,1d --chips 25 --out "$out/report"
driftproof export "$out/report" --format latex --table pivot --time 1d --out "$out/table.tex"

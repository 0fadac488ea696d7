#!/usr/bin/env bash
# An ML engineer with his own trained network: what is left of it on two devices, and after training for one of them.
#   experiments/first_hour/ml_engineer/run.sh          (driftproof and python on the PATH)
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
mkdir -p "$out"
python network.py "$out/bearing.pt"
driftproof convert network.py:net --weights "$out/bearing.pt" --preset pcm-hermes-2 --input-shape 1,256
driftproof evaluate network.py:net --weights "$out/bearing.pt" --data network.py:test_set \
    --preset pcm-hermes-2 --preset reram-wan-2022 --times 1s,1h,1d,1y --chips 25 --label plain --out "$out/plain"
driftproof train network.py:net --weights "$out/bearing.pt" --data network.py:train_set \
    --preset pcm-hermes-2 --time 1s..1y --epochs 5 --lr 0.03 --out "$out/training"
driftproof evaluate network.py:net --weights "$out/training/best.safetensors" --data network.py:test_set \
    --preset pcm-hermes-2 --preset reram-wan-2022 --times 1s,1h,1d,1y --chips 25 --label robust --out "$out/robust"
driftproof report "$out/plain" "$out/robust" --out "$out/report"

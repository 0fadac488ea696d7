#!/usr/bin/env bash
# Evaluate ResNet-20 on 25 chips of every preset, on all test images, from 1 s to 10 years.
#   DATA=folder with cifar-10-batches-py  WEIGHTS=resnet20-12fca82f.th  experiments/all_devices/run.sh
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
presets=()
for file in ../../device_presets/*.toml; do presets+=(--preset "$(basename "$file" .toml)"); done
for levels in 63 15 7 3; do presets+=(--preset "levels:$levels"); done
driftproof evaluate resnet20 --weights "$WEIGHTS" --data "cifar10:$DATA" --device "${DEVICE:-cuda}" \
    "${presets[@]}" --times 1s,1h,1d,30d,1y,10y --chips 25 --out "$out"
cp "$out/summary.csv" summary.csv

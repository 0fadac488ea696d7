#!/usr/bin/env bash
# Evaluate ResNet-20 on two devices over inference time, and draw the figure of the README.
#   DATA=folder with cifar-10-batches-py  WEIGHTS=resnet20-12fca82f.th  experiments/resnet20_over_time/run.sh
set -euo pipefail
cd "$(dirname "$0")"
out=${OUT:-out}
times=1s,1min,1h,6h,1d,2d,30d,1y
for compensation in tile none; do
    driftproof evaluate resnet20 --weights "$WEIGHTS" --data "cifar10:$DATA" --device "${DEVICE:-cuda}" \
        --preset pcm-nandakumar-2019 --preset reram-wan-2022 --times $times --chips 25 \
        --compensation $compensation --label "$compensation compensation" --out "$out/$compensation"
done
cp "$out/tile/accuracy_over_time.png" ../../docs/resnet20_over_time.png
cp "$out/tile/lifetimes.csv" lifetimes_tile.csv
for compensation in tile none; do cp "$out/$compensation/summary.csv" "summary_$compensation.csv"; done

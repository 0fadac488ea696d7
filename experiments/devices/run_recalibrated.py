"""What does recalibrating BatchNorm on each chip add? See README.md. Run run_resnet20.py first.

    python experiments/devices/run_recalibrated.py --data ROOT --weights resnet20-12fca82f.th

The chips are recalibrated on the first 1,000 training images without labels, cropped and flipped at random as in the
training. The record of each network goes to out/recalibrated/, and all accuracies to resnet20_recalibrated.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch

import driftproof as dp
from driftproof.data import CropFlip, TensorData, cifar10
from driftproof.evaluation import Recalibration
from driftproof.zoo import load_model

HERE = Path(__file__).parent
TARGETS = {  # target → device, time, the network that was trained for it
    "PCM, 1 year": ("pcm-nandakumar-2019", "1y", "pcm"),
    "ReRAM, 1 day": ("reram-wan-2022", "1d", "reram"),
    "Gaussian 10 %": ("gaussian:0.1", "1s", "gaussian"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()
    test, some = cifar10(arguments.data).head(5000), cifar10(arguments.data, "train").head(1000)
    assert isinstance(some, TensorData)
    inputs = CropFlip()(some.inputs, torch.Generator().manual_seed(0))
    images = TensorData("cifar10 train, first 1,000, cropped and flipped", inputs, some.targets)
    rows = []
    for target, (device, time, trained) in TARGETS.items():
        for name in ("as it is", trained):
            weights = arguments.weights if name == "as it is" else HERE / "out/resnet20" / name / "best.safetensors"
            out = HERE / "out/recalibrated" / f"{name} {device}".replace(" ", "-").replace(":", "-")
            record = dp.evaluate(
                load_model("resnet20", weights).model,
                test,
                presets=[device],
                times=time,
                chips=25,
                recalibrate=Recalibration(images, "time"),
                out=out,
            )
            cells = record.cells()
            accuracy = cells[cells["preset"] == device]["value"].rename("accuracy").reset_index(drop=True)
            rows.append(accuracy.to_frame().assign(target=target, network=name, chip=range(len(accuracy))))
            print(target, name, f"{accuracy.mean():.2f}", flush=True)
    pd.concat(rows)[["target", "network", "chip", "accuracy"]].to_csv(
        HERE / "resnet20_recalibrated.csv", index=False, lineterminator="\n"
    )


if __name__ == "__main__":
    main()

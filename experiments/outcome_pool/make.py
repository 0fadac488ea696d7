"""Measure which images each of many chips classifies correctly. See README.md.

    python experiments/outcome_pool/make.py --data ROOT --weights resnet20-12fca82f.th --device cuda

Each chip goes to a file in out/, so that a stopped run continues. The last step packs all chips into one file for each
device, beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from driftproof import Chip, load_device, map_model
from driftproof.data import TensorData, cifar10
from driftproof.evaluation import FoldedNetwork
from driftproof.times import parse_time
from driftproof.zoo import load_model

HERE = Path(__file__).parent
CHIPS, SEED = range(200), 0
TIMES = {
    "pcm-nandakumar-2019": [
        "1s",
        "10s",
        "1min",
        "10min",
        "1h",
        "3h",
        "6h",
        "12h",
        "1d",
        "2d",
        "5d",
        "12d",
        "30d",
        "100d",
        "1y",
    ],
    "reram-wan-2022": ["1s", "1d"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with cifar-10-batches-py")
    parser.add_argument("--weights", required=True, help="file resnet20-12fca82f.th")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument("--batch-size", type=int, default=500, help="images in a pass (default: 500)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time (default: never)")
    arguments = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    measure(arguments)
    for name, times in TIMES.items():
        pack(name, times)


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> None:
    """Measure the chips that are missing in out/, chip by chip on all devices."""
    out, start = HERE / "out", time.monotonic()
    out.mkdir(exist_ok=True)
    data, device = cifar10(arguments.data), torch.device(arguments.device)
    assert isinstance(data, TensorData)
    assert isinstance(data.inputs, torch.Tensor)
    images, classes = data.inputs.to(device), data.targets.to(device)
    model = load_model("resnet20", arguments.weights).model.eval().to(device)
    mapping = map_model(model, example=images[:8])
    network = FoldedNetwork(model, mapping, images[:64])

    def correct(answers: Callable[[torch.Tensor], torch.Tensor]) -> npt.NDArray[np.bool_]:
        guesses = torch.cat([answers(x).argmax(1) for x in torch.split(images, arguments.batch_size)])
        return (guesses == classes).cpu().numpy()

    np.save(out / "digital.npy", correct(model))
    for chip in CHIPS:
        for name, times in TIMES.items():  # an interrupted run has complete chips
            path = out / f"{name} {chip:03}.npy"
            if path.exists():
                continue
            if time.monotonic() - start > arguments.seconds:
                raise SystemExit(f"stopped at chip {chip} of {name}; the same command goes on")
            programmed = Chip(mapping, load_device(name), seed=SEED, chip=chip)
            rows = []
            for text in times:
                network.load(programmed, parse_time(text))
                rows.append(correct(network))
            np.save(path, np.packbits(np.stack(rows), axis=1))
            print(f"chip {chip} {name} {100 * rows[0].mean():.2f} {100 * rows[-1].mean():.2f}", flush=True)


def pack(name: str, times: list[str]) -> None:
    """Write one file of a device: what each chip answers otherwise than the digital network, packed and compressed."""
    digital = np.load(HERE / "out" / "digital.npy")
    chips = np.stack([np.load(HERE / "out" / f"{name} {chip:03}.npy") for chip in CHIPS], axis=1)
    np.savez_compressed(
        HERE / f"{name}.npz",
        otherwise=chips ^ np.packbits(digital),
        digital=np.packbits(digital),
        n_samples=len(digital),
        t_s=[parse_time(text) for text in times],
    )
    print(name, chips.shape, (HERE / f"{name}.npz").stat().st_size)


if __name__ == "__main__":
    main()

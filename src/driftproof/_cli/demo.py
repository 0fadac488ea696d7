"""``driftproof demo``: fine-tuning, evaluation and report of a small network in a minute, on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from driftproof._cli.console import print_line, print_table
from driftproof._defaults import CHIPS
from driftproof._errors import DriftproofError
from driftproof._files import make_folder

if TYPE_CHECKING:
    from torch import nn

PRESETS = ("pcm-nandakumar-2019", "reram-wan-2022", "gaussian:0.2")
NOISE, EPOCHS = "gaussian:0.2", 20  # of the second network's training: a few seconds


def demo_command(*, out: Path = Path("demo-report"), chips: int = CHIPS) -> None:
    """Show what driftproof does in about a minute: fine-tune a small network with noise, and compare the two on chips.

    A copy of a trained network is fine-tuned with noise. The trained and the fine-tuned network are programmed onto the
    same simulated chips of three devices, read over ten years, and compared in a report. Nothing is downloaded.

    Args:
        out (FOLDER): Folder for the networks, records and report (index.html).
        chips: Number of chips to program per device.
    """
    import pandas as pd

    from driftproof._cli.layers import LayerTable
    from driftproof._cli.summary_tables import summary_table
    from driftproof._mapping import map_model
    from driftproof._record import quantity_of
    from driftproof._reporting import report, summarise
    from driftproof.data import digits
    from driftproof.plans import evaluate
    from driftproof.zoo import save_weights, trained_digits_cnn

    if chips < 1:
        raise DriftproofError(f"chips: wanted at least 1, got {chips}")
    make_folder(out)
    print_line("1. A small convolutional network was trained on scikit-learn's 8x8 digits.\n")
    data = digits()
    networks: dict[str, nn.Module] = {"plain": trained_digits_cnn()}
    save_weights(networks["plain"], out / "digits-cnn.safetensors")
    example = next(iter(data.batches(1)))[0]
    print_table(LayerTable(map_model(networks["plain"], example=example).layers, "2. Its layers on crossbar tiles"))
    print_line(f"\n3. Training it further with noise of the device {NOISE} ...")
    networks["noise-trained"] = _trained_with_noise(networks["plain"])
    save_weights(networks["noise-trained"], out / "noise-trained.safetensors")
    print_line(f"4. Programming {chips} chips of each device, and reading them over 10 years ...\n")
    summaries = []
    for label, network in networks.items():
        with evaluate(
            network, data, presets=PRESETS, chips=chips, out=out / label, name="digits-cnn", label=label
        ) as record:
            summaries.append(summarise(record))
    page = report([out / label for label in networks], out)
    title = "5. Accuracy of the two networks on the same chips"
    print_table(summary_table(pd.concat(summaries, ignore_index=True), quantity_of("accuracy"), title))
    print_line(f"report: {page.resolve()}")
    print_line("next, with a network of your own (see driftproof evaluate --help):")
    print_line("  driftproof evaluate mine.py:model --data mine.py:test_set \\")
    print_line("      --preset pcm-nandakumar-2019 --out my-report")


def _trained_with_noise(model: nn.Module) -> nn.Module:
    """Return the network after further training with growing noise."""
    from driftproof.data import digits
    from driftproof.training import RWP, ClipWeights, ramp, train

    strength = ramp("quadratic", start=0.5, to=1.3, until=0.5)
    method = RWP(noise=NOISE, strength=strength, clip=ClipWeights(sigmas=2.0))
    return train(model, digits("train"), method=method, epochs=EPOCHS, batch_size=50, lr=0.05).model

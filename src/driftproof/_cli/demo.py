"""``driftproof demo``: what a network loses on a device, and what compensation, training, recalibration bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from driftproof._cli.console import print_line
from driftproof._cli.demo_curves import CURVES, DEVICE, KEEP, NETWORK, PLAIN, TIMES, TRAINED, Curve
from driftproof._cli.threads import exactly
from driftproof._errors import DriftproofError
from driftproof._files import make_folder

if TYPE_CHECKING:
    from torch import nn

NOISE, STRENGTH, CLIP_SIGMAS = f"{DEVICE}@1min..1y", "quadratic:start=0.3,to=1.3,until=0.5", 2.0
EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 100, 0.1
CHIPS, RECALIBRATION_IMAGES = 12, 200
TITLE = "A residual network on phase-change memory, over one year"
NEXT = (f"driftproof evaluate {NETWORK} --data digits \\", "--preset reram-wan-2022 --out my-report")


def demo_command(*, out: Path = Path("demo-report"), chips: int = CHIPS) -> None:
    """Show in half a minute what driftproof is for: one network on one device, with and without remedies.

    A small residual network that classifies digits is programmed onto simulated chips of phase-change memory, which are
    read over one year: without drift compensation, with it, after a training with the device's noise, and with
    BatchNorm statistics that are re-estimated on the chips. A report compares them. Nothing is downloaded. The same
    command continues a demo that was stopped.

    Args:
        out (FOLDER): Folder for the trained network, the records and the report (index.html).
        chips: Number of chips to program.
    """
    from driftproof._cli.demo_story import gains, story
    from driftproof._reporting import report

    if chips < 1:
        raise DriftproofError(f"chips: wanted at least 1, got {chips}")
    if (out / TRAINED).exists():
        print_line(f"{out} holds a demo: what is finished there is kept, the rest is computed.\n")
    make_folder(out)
    # several threads wait for each other in a network this small, for minutes on a busy machine; and one thread
    # trains it to the same numbers on any number of cores
    with exactly(1):
        folders = _measured(out, chips)
    page = report(list(folders.values()), out, keep=KEEP, title=TITLE, said=gains(folders))
    for line in story(folders):
        print_line(line)
    print_line(f"report: {page.resolve()}")
    print_line(f"next: {NEXT[0]}\n{'':10}{NEXT[1]}")


def _measured(out: Path, chips: int) -> dict[Curve, Path]:
    """Train and measure what is missing in ``out``; return the folders of the records."""
    from driftproof.data import digits
    from driftproof.evaluation import Recalibration
    from driftproof.plans import evaluate
    from driftproof.zoo import load_model

    plain = load_model(NETWORK).model
    networks = {PLAIN: plain, TRAINED: _trained_with_noise(plain, out / TRAINED)}
    recalibration = Recalibration(digits("train"), when="time", samples=RECALIBRATION_IMAGES)
    folders = {curve: out / curve.folder for curve in CURVES}
    for curve, folder in folders.items():
        evaluate(
            networks[curve.network],
            digits(),
            presets=DEVICE,
            times=TIMES,
            chips=chips,
            compensation=curve.compensation,
            recalibrate=recalibration if curve.recalibrated else None,
            batch_size=len(digits()),  # they fit
            out=folder,
            name=NETWORK,
            label=curve.label,
        ).close()
    return folders


def _trained_with_noise(model: nn.Module, folder: Path) -> nn.Module:
    """Return the network after further training with the device's noise; ``folder`` keeps a finished training."""
    from driftproof.data import digits
    from driftproof.training import RWP, ClipWeights, train

    method = RWP(noise=NOISE, strength=STRENGTH, clip=ClipWeights(sigmas=CLIP_SIGMAS))
    data = digits("train")
    return train(model, data, method=method, epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE, out=folder).model

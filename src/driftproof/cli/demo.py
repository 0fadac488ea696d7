"""``driftproof demo``: the whole story in a minute, on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.defaults import CHIPS

PRESETS = ("pcm-nandakumar-2019", "reram-wan-2022", "gaussian:0.2")
NOISE, EPOCHS = "gaussian:0.2", 20  # what the second network is trained with: a few seconds


def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for networks, records and the report.")] = Path(
        "demo-report"
    ),
    chips: Annotated[int, typer.Option(help="Number of chips to program.")] = CHIPS,
) -> None:
    """Train a small network with and without noise, evaluate both on the same chips over ten years, write a report."""
    import pandas as pd

    from driftproof.cli.layers import layer_table
    from driftproof.cli.tables import summary_table
    from driftproof.data import digits
    from driftproof.errors import DriftproofError
    from driftproof.mapping import map_model
    from driftproof.plans import evaluate
    from driftproof.record import quantity_of
    from driftproof.reporting import report, summarise
    from driftproof.training import RWP, ClipWeights, ramp, train
    from driftproof.zoo import save_weights, trained_digits_cnn

    if chips < 1:
        raise DriftproofError(f"chips: wanted at least 1, got {chips}")
    console = tables()
    data = digits()
    console.print("1. A small convolutional network, trained on scikit-learn's 8x8 digits")
    model = trained_digits_cnn()
    out.mkdir(parents=True, exist_ok=True)
    save_weights(model, out / "digits-cnn.safetensors")
    example = next(iter(data.batches(1)))[0]
    console.print(layer_table(map_model(model, example=example).layers, "2. Its layers on crossbar tiles"))
    console.print(f"3. Training it further with the noise of {NOISE}, which grows while it trains ...")
    method = RWP(
        noise=NOISE,
        strength=ramp("quadratic", start=0.5, to=1.3, until=0.5),
        clip=ClipWeights(sigmas=2.0),
    )
    robust = train(model, digits("train"), method=method, epochs=EPOCHS, batch_size=50, lr=0.05).model
    save_weights(robust, out / "noise-trained.safetensors")
    console.print(f"4. Programming {chips} chips of each device with each, and reading them over ten years ...")
    summaries = []
    for label, network in {"plain": model, "noise-trained": robust}.items():
        with evaluate(
            network,
            data,
            presets=PRESETS,
            chips=chips,
            out=out / label,
            name="digits-cnn",
            label=label,
        ) as record:
            summaries.append(summarise(record))
    page = report([out / "plain", out / "noise-trained"], out)
    title = "5. What the two networks keep, on the same chips"
    console.print(summary_table(pd.concat(summaries, ignore_index=True), quantity_of("accuracy"), title))
    plain = lines()
    plain.print(f"report: {escape(str(page.resolve()))}")
    plain.print(
        "next: driftproof evaluate MODEL --weights FILE --data cifar10:ROOT --preset pcm-nandakumar-2019 --out DIR"
    )

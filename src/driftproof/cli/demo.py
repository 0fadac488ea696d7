"""``driftproof demo``: the whole story in a minute, on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables

PRESETS = ("pcm-nandakumar-2019", "reram-wan-2022", "gaussian:0.1")


def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the network, the record and the report.")] = Path(
        "demo-report"
    ),
    chips: Annotated[int, typer.Option("--chips", help="Chips to program.")] = 25,
) -> None:
    """Train a small network on scikit-learn's digits, evaluate it on devices over ten years, write a report."""
    from driftproof.cli.layers import layer_table
    from driftproof.cli.tables import summary_table
    from driftproof.data import digits
    from driftproof.errors import DriftproofError
    from driftproof.evaluation import DEFAULT_TIMES, evaluate
    from driftproof.mapping import map_model
    from driftproof.record import quantity_of
    from driftproof.reporting import report, summarise
    from driftproof.zoo import save_weights, trained_digits_cnn

    if chips < 1:
        raise DriftproofError(f"chips: wanted at least 1, got {chips}")
    console = tables()
    data = digits()
    console.print("1. Training a small convolutional network on scikit-learn's 8x8 digits ...")
    model = trained_digits_cnn()
    out.mkdir(parents=True, exist_ok=True)
    save_weights(model, out / "digits-cnn.safetensors")
    example = next(iter(data.batches(1)))[0]
    console.print(layer_table(map_model(model, example=example).layers, "2. Its layers on crossbar tiles"))
    console.print(f"3. Programming {chips} chips of each device and reading them over ten years ...")
    record = evaluate(model, data, presets=PRESETS, times=DEFAULT_TIMES, chips=chips, out=out, name="digits-cnn")
    with record:
        page = report(record, out)
        console.print(summary_table(summarise(record), quantity_of("accuracy"), "4. What the network keeps"))
    plain = lines()
    plain.print(f"report: {escape(str(page.resolve()))}")
    plain.print(
        "next: driftproof evaluate MODEL --weights FILE --data cifar10:ROOT --preset pcm-nandakumar-2019 --out DIR"
    )

"""``driftproof sensitivity``: which layers cost what, why, and which must be digital to keep a target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.cli.evaluate import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    import pandas as pd

CELLS = "deployment_cells.csv"
DEVICE = "Device: NAME, NAME:ARGUMENT, FILE.toml, DEVICE,LAYERS=DEVICE or measured:FOLDER."


def sensitivity_command(
    model: Annotated[
        str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:, timm:NAME, hf:DIR or file.py:callable")
    ],
    data: Annotated[
        str, typer.Option("--data", help="What is measured and chosen on; digits, cifar10:ROOT or file.py:callable.")
    ],
    preset: Annotated[str, typer.Option("--preset", help=DEVICE)],
    out: Annotated[Path, typer.Option("--out", help="Folder for tables and figures; the same folder continues.")],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Trained weights (.pt, .pth, .th, .safetensors).")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one number of the preset.")
    ] = None,
    time: Annotated[str, typer.Option("--time", help="Time after programming.")] = "1y",
    chips: Annotated[int, typer.Option("--chips", help="Chips to program, the same for all configurations.")] = 10,
    target: Annotated[
        float | None,
        typer.Option("--target", help="Search for the fewest digital layers that keep this (accuracies in percent)."),
    ] = None,
    report_data: Annotated[
        str | None,
        typer.Option("--report-data", help="Other samples, to report the search on; by default half of --data."),
    ] = None,
    report_chips: Annotated[
        int | None, typer.Option("--report-chips", help="Other chips, to report the search on; 25.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="By how much the search is to be better than the target; 0.")
    ] = None,
    breadth: Annotated[
        int | None, typer.Option("--breadth", help="Try only the N best layers in later rounds of the search.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", help="accuracy, top5, token-accuracy, f1, perplexity, mse, or your own: file.py:callable."
        ),
    ] = "accuracy",
    limit: Annotated[
        int | None, typer.Option("--limit", help="Use the first N samples only, of --report-data too.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Samples per forward pass.")] = 250,
    compensation: Annotated[
        str, typer.Option("--compensation", help="Of the drift: none, tile, column, exact; tile:every_s=1d.")
    ] = "tile",
    periphery: Annotated[
        str, typer.Option("--periphery", help="Around the arrays: ideal, standard (8-bit DAC and ADC) or FILE.toml.")
    ] = "ideal",
    calibration_data: Annotated[
        str | None, typer.Option("--calibration-data", help="What its static input ranges are measured on.")
    ] = None,
    calibration_limit: Annotated[
        int | None, typer.Option("--calibration-limit", help="Measure on the first N samples; 1000, or all there are.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Layers on tiles: names, globs, !NAME, inner; all unless said.")
    ] = None,
    tile: Annotated[str, typer.Option("--tile", metavar="ROWSxCOLUMNS", help="Largest crossbar.")] = "512x512",
    scale: Annotated[
        str, typer.Option("--scale", help="Weights relative to their tile's column, or to the whole layer.")
    ] = "column",
    clip: Annotated[
        float | None, typer.Option("--clip", help="Percentile of |w| that takes the largest weight's place.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of all device randomness.")] = 0,
) -> None:
    """Measure what each layer costs on a chip, what the drop is made of, and which layers must be digital (--target).

    With --target and no --report-data, layers are chosen on the second half of --data and reported on the first.
    """
    from driftproof.cli.deployment_tables import causes_table, curve_table, layers_table
    from driftproof.data import Data, load_data
    from driftproof.deployment import Cells, Conditions, causes, choose_digital_layers, halves, sensitivity
    from driftproof.deployment.figures import draw_causes, draw_curve, draw_layers
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.mapping import TileSize
    from driftproof.measured import MeasuredDevice
    from driftproof.presets import parse_changes
    from driftproof.reporting.figures import render
    from driftproof.zoo import load_model

    if target is None and (report_data, report_chips, margin, breadth) != (None, None, None, None):
        raise DriftproofError(
            "--report-data, --report-chips, --margin and --breadth are of the search: give it a --target"
        )
    chosen_device = load_device(preset, parse_changes(changes or []))
    if calibration_limit is not None and calibration_data is None:
        raise DriftproofError("--calibration-limit N says how many of --calibration-data DATA: give that, too")
    calibration = None if calibration_data is None else load_data(calibration_data)
    if calibration is not None:
        most = min(CALIBRATION_SAMPLES, len(calibration)) if calibration_limit is None else calibration_limit
        calibration = calibration.head(most)
    conditions = Conditions(
        compensation=compensation,
        metric=metric,
        periphery=periphery,
        calibration=calibration,
        where=where,
        tile=TileSize.parse(tile),
        scale=scale,  # type: ignore[arg-type]
        clip=clip,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    loaded = load_model(model, weights)
    if not loaded.trained:
        raise DriftproofError(f"{model} has random weights: give its trained ones with --weights FILE")

    def limited(found: Data) -> Data:
        return found if limit is None else found.head(limit)

    samples, others = limited(load_data(data)), None
    if report_data is not None:
        others = limited(load_data(report_data))
    elif target is not None:
        others, samples = halves(samples)
    out.mkdir(parents=True, exist_ok=True)
    cells, console = Cells(out / CELLS), tables()

    def write(name: str, table: pd.DataFrame, drawn: tuple[bytes, bytes]) -> None:
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")
        for form, content in zip(("svg", "png"), drawn, strict=True):
            (out / f"{name}.{form}").write_bytes(content)

    each = sensitivity(loaded.model, samples, chosen_device, time, chips=chips, conditions=conditions, cells=cells)
    write("layers", each.table(), render(draw_layers, each))
    console.print(layers_table(each))
    if isinstance(chosen_device, MeasuredDevice):
        console.print("Measured conductances cannot be taken apart into causes.")
    else:
        why = causes(loaded.model, samples, chosen_device, time, chips=chips, conditions=conditions, cells=cells)
        write("causes", why.table(), render(draw_causes, why))
        console.print(causes_table(why))
    if target is not None and others is not None:
        found = choose_digital_layers(
            loaded.model,
            samples,
            others,
            chosen_device,
            time,
            target=target,
            chips=chips,
            report_chips=25 if report_chips is None else report_chips,
            margin=0.0 if margin is None else margin,
            breadth=breadth,
            conditions=conditions,
            cells=cells,
        )
        write("curve", found.table(), render(draw_curve, found))
        console.print(curve_table(found))
        console.print(escape(found.verdict()))
    lines().print(f"tables and figures: {escape(str(out))}")

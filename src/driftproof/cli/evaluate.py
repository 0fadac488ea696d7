"""``driftproof evaluate``: accuracy, or another metric, over inference time, device and chips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.times import format_time

CALIBRATION_SAMPLES = 1000
DEVICE = "Device: NAME, NAME:ARGUMENT, FILE.toml, DEVICE,LAYERS=DEVICE or measured:FOLDER; repeat for more."


def evaluate_command(
    model: Annotated[
        str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:, timm:NAME, hf:DIR or file.py:callable")
    ],
    data: Annotated[str, typer.Option("--data", help="digits, cifar10:ROOT, mnist:ROOT or file.py:callable")],
    presets: Annotated[list[str], typer.Option("--preset", help=DEVICE)],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the record and the report; the same folder continues.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Trained weights (.pt, .pth, .th, .safetensors).")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one number of the presets.")
    ] = None,
    times: Annotated[str, typer.Option("--times", help="Times after programming.")] = "1s,1h,1d,30d,1y,10y",
    chips: Annotated[int, typer.Option("--chips", help="Chips to program: the unit of replication.")] = 25,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", help="accuracy, top5, token-accuracy, f1, perplexity, mse, or your own: file.py:callable."
        ),
    ] = "accuracy",
    limit: Annotated[int | None, typer.Option("--limit", help="Use the first N samples only.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Samples per forward pass.")] = 250,
    backend: Annotated[str, typer.Option("--backend", help="folded (fast) or tiles (aihwkit).")] = "folded",
    compensation: Annotated[
        str, typer.Option("--compensation", help="Of the drift: none, tile, column, exact; tile:every_s=1d.")
    ] = "tile",
    periphery: Annotated[
        str, typer.Option("--periphery", help="Around the arrays: ideal, standard (8-bit DAC and ADC) or FILE.toml.")
    ] = "ideal",
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
    recalibrate: Annotated[
        str | None, typer.Option("--recalibrate", help="Measure BatchNorm anew on each chip: programming or time.")
    ] = None,
    calibration_data: Annotated[
        str | None, typer.Option("--calibration-data", help="What it and static input ranges are measured on.")
    ] = None,
    calibration_limit: Annotated[
        int | None,
        typer.Option("--calibration-limit", help="Measure on the first N samples; 1000, or all there are."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of all device randomness.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse times outside a device's range of validity.")
    ] = False,
    label: Annotated[str, typer.Option("--label", help="Tells this evaluation from others in one report.")] = "",
) -> None:
    """Measure accuracy (or --metric) over time, devices and chips; the same command continues a stopped run."""
    from driftproof.cli.tables import summary_table
    from driftproof.data import load_data
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.evaluation import Recalibration, as_metric, evaluate
    from driftproof.evaluation.backends import check_backend
    from driftproof.mapping import TileSize
    from driftproof.periphery import StaticRange, load_periphery
    from driftproof.presets import parse_changes
    from driftproof.reporting import report, summarise
    from driftproof.times import parse_times
    from driftproof.zoo import load_model

    numbers = parse_changes(changes or [])
    devices = [load_device(name, numbers) for name in presets]
    times_s = parse_times(times)
    measured = as_metric(metric)
    loaded = load_model(model, weights)
    if not loaded.trained:
        raise DriftproofError(f"{model} has random weights: give its trained ones with --weights FILE")
    around = load_periphery(periphery)
    ranged = isinstance(around.input_range, StaticRange)
    inputs, anew = None, None
    if calibration_data is not None:
        inputs = load_data(calibration_data)
        inputs = inputs.head(min(CALIBRATION_SAMPLES, len(inputs)) if calibration_limit is None else calibration_limit)
    if recalibrate is not None and inputs is not None:
        anew = Recalibration(inputs, recalibrate)  # type: ignore[arg-type]
    elif recalibrate is not None or (inputs is not None and not ranged):
        raise DriftproofError(
            "--recalibrate WHEN and --calibration-data DATA go together, with --calibration-limit N if you like: "
            "when, on what, and on how many (a periphery with static input ranges takes --calibration-data, too)"
        )
    if calibration_limit is not None and inputs is None:
        raise DriftproofError("--calibration-limit N says how many of --calibration-data DATA: give that, too")
    record = evaluate(
        loaded.model,
        load_data(data),
        presets=devices,
        times=times_s,
        chips=chips,
        metric=measured,
        backend=check_backend(backend),
        compensation=compensation,
        periphery=around,
        calibration=inputs if ranged else None,
        recalibrate=anew,
        tile=TileSize.parse(tile),
        where=where,
        scale=scale,  # type: ignore[arg-type]
        clip=clip,
        seed=seed,
        device=device,
        batch_size=batch_size,
        limit=limit,
        out=out,
        name=loaded.name,
        label=label,
        strict=strict,
    )
    with record:
        page = report(record, out)
        console = tables()
        title = f"{loaded.name}, {measured.quantity.title}, {len(times_s)} times to {format_time(times_s[-1])}"
        console.print(summary_table(summarise(record), measured.quantity, title))
    lines().print(f"report: {escape(str(page))}")

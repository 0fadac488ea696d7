"""``driftproof evaluate``: accuracy over inference time, device and chips."""

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
    model: Annotated[str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:NAME or file.py:callable")],
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
    limit: Annotated[int | None, typer.Option("--limit", help="Use the first N samples only.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Samples per forward pass.")] = 250,
    backend: Annotated[str, typer.Option("--backend", help="folded (fast) or tiles (aihwkit).")] = "folded",
    compensation: Annotated[
        str, typer.Option("--compensation", help="Of the drift: none, tile, column, exact; tile:every_s=1d.")
    ] = "tile",
    recalibrate: Annotated[
        str | None, typer.Option("--recalibrate", help="Measure BatchNorm anew on each chip: programming or time.")
    ] = None,
    calibration_data: Annotated[
        str | None, typer.Option("--calibration-data", help="What to measure it on, such as cifar10-train:ROOT.")
    ] = None,
    calibration_limit: Annotated[
        int | None,
        typer.Option("--calibration-limit", help="Measure it on the first N samples; 1000, or all there are."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of all device randomness.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse times outside a device's range of validity.")
    ] = False,
    label: Annotated[str, typer.Option("--label", help="Tells this evaluation from others in one report.")] = "",
) -> None:
    """Measure accuracy over inference time, devices and chips; the same command continues a stopped run."""
    from driftproof.cli.tables import summary_table
    from driftproof.data import load_data
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.evaluation import Recalibration, evaluate
    from driftproof.evaluation.backends import check_backend
    from driftproof.presets import parse_changes
    from driftproof.reporting import report, summarise
    from driftproof.times import parse_times
    from driftproof.zoo import load_model

    numbers = parse_changes(changes or [])
    devices = [load_device(name, numbers) for name in presets]
    times_s = parse_times(times)
    loaded = load_model(model, weights)
    if not loaded.trained:
        raise DriftproofError(f"{model} has random weights: give its trained ones with --weights FILE")
    anew = None
    if recalibrate is not None and calibration_data is not None:
        inputs = load_data(calibration_data)
        limited = min(CALIBRATION_SAMPLES, len(inputs)) if calibration_limit is None else calibration_limit
        anew = Recalibration(inputs, recalibrate, limited)  # type: ignore[arg-type]
    elif (recalibrate, calibration_data, calibration_limit) != (None, None, None):
        raise DriftproofError(
            "--recalibrate WHEN and --calibration-data DATA go together, with --calibration-limit N if you like: "
            "when, on what, and on how many"
        )
    record = evaluate(
        loaded.model,
        load_data(data),
        presets=devices,
        times=times_s,
        chips=chips,
        backend=check_backend(backend),
        compensation=compensation,
        recalibrate=anew,
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
        console.print(
            summary_table(summarise(record), f"{loaded.name}, {len(times_s)} times to {format_time(times_s[-1])}")
        )
    lines().print(f"report: {escape(str(page))}")

"""``driftproof evaluate``: accuracy, or another metric, over inference time, device and chips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.cli.groups import DeploymentOptions, EvaluatorOptions, NetworkOptions, TileOptions
from driftproof.cli.option_groups import with_groups
from driftproof.defaults import BACKEND, CHIPS, TIMES
from driftproof.times import format_time

DEVICE = "Device: NAME, NAME:ARGUMENT, FILE.toml, DEVICE,LAYERS=DEVICE or measured:FOLDER; repeat it for more devices."


@with_groups
def evaluate_command(
    network: NetworkOptions,
    data: Annotated[
        str, typer.Option(help="Data to evaluate on: digits, cifar10:ROOT, mnist:ROOT or file.py:callable.")
    ],
    presets: Annotated[list[str], typer.Option("--preset", help=DEVICE)],
    out: Annotated[Path, typer.Option(help="Folder for the record and the report; the same folder continues.")],
    measured: EvaluatorOptions,
    deployment: DeploymentOptions,
    tiles: TileOptions,
    times: Annotated[str, typer.Option(help="Times after programming.")] = ",".join(TIMES),
    chips: Annotated[int, typer.Option(help="Number of chips to program: the unit of replication.")] = CHIPS,
    backend: Annotated[str, typer.Option(help="What computes: folded (fast) or tiles (aihwkit's tiles).")] = BACKEND,
    label: Annotated[str, typer.Option(help="Name that tells this evaluation from others in one report.")] = "",
) -> None:
    """Measure accuracy (or --metric) over time, devices and chips; the same command continues a stopped run."""
    from driftproof.cli.tables import summary_table
    from driftproof.data import load_data
    from driftproof.evaluation import as_metric
    from driftproof.evaluation.backends import check_backend
    from driftproof.evaluation.checks import check_devices
    from driftproof.plans import evaluate_deployments
    from driftproof.reporting import report, summarise
    from driftproof.times import parse_times

    devices = check_devices(deployment.devices(presets))
    times_s, quantity = parse_times(times), as_metric(measured.metric).quantity
    check_backend(backend)
    loaded = network.load_trained()
    deployments = deployment.deployments(devices, tiles)
    evaluator = measured.evaluator(loaded, measured.limited(load_data(data)), backend)
    record = evaluate_deployments(
        evaluator,
        deployments,
        times=times_s,
        chips=chips,
        out=out,
        label=label,
        within_validity=tiles.within_validity,
    )
    with record:
        page = report(record, out)
        title = f"{loaded.name}, {quantity.title}, {len(times_s)} times to {format_time(times_s[-1])}"
        tables().print(summary_table(summarise(record), quantity, title))
    lines().print(f"report: {escape(str(page))}")

"""``driftproof evaluate``: accuracy, or another metric, over inference time, device and chips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftproof._cli.console import print_line, print_table
from driftproof._cli.groups import (
    DeploymentOptions,
    EvaluatorOptions,
    NetworkOptions,
    PrecisionOptions,
    TileOptions,
    WorkerOptions,
)
from driftproof._defaults import BACKEND, CHIPS, ON, TIMES
from driftproof.times import format_time


def evaluate_command(
    network: NetworkOptions,
    evaluation: EvaluatorOptions,
    deployment: DeploymentOptions,
    tiles: TileOptions,
    enough: PrecisionOptions,
    executors: WorkerOptions,
    *,
    data: str,
    presets: Annotated[list[str], typer.Option("--preset")],
    out: Path,
    times: str = ",".join(TIMES),
    chips: str = str(CHIPS),
    backend: str = BACKEND,
    label: str = "",
) -> None:
    r"""Measure the accuracy, or another metric, of a network on simulated chips over years, and write a report.

    The network is programmed onto every chip of every device and evaluated at every time. A run that was stopped
    continues when the same command is given again.

    Args:
        network: Options of the network and its weights.
        evaluation: Options of the metric, the samples and the processor.
        deployment: Options of the deployment.
        tiles: Options of the mapping onto tiles.
        enough: Options of the precision.
        executors: Options of the processes or the cluster that compute.
        data (DATA): Samples to evaluate on: digits, cifar10:ROOT or mnist:ROOT (test samples), digits-train,
            cifar10-train:ROOT or mnist-train:ROOT (training samples), or FILE.py:FUNCTION, a function without arguments
            that returns a pair (inputs, targets), a Dataset or a DataLoader. ROOT is the folder that torchvision
            downloaded to.
        presets (DEVICE): Device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, DEVICE,LAYERS=DEVICE for
            another device in some layers (pcm-nandakumar-2019,conv1=ideal), or measured:FOLDER for the conductances of
            real chips. `driftproof presets list` shows the names. Repeat the option to compare devices.
        out (FOLDER): Folder for the record (record.sqlite, all results), its tables and the report (index.html).
        times (TIMES): Times at which chips are read, counted from the first read after programming and separated by
            commas; the units are s, min, h, d and y.
        chips (N): Number of chips to program per device, or FIRST-LAST for the chips of these numbers, such as 25-49:
            one job of several, whose records `driftproof merge` joins. Intervals become narrower with more chips.
        backend: Backend that computes the arrays: folded (effective weights in torch layers, fast) or tiles (the tiles
            of IBM aihwkit, slower).
        label (TEXT): Name of this evaluation in a report of several evaluations. Default: the name of the network.

    Example:
        driftproof evaluate digits-cnn --data digits --times 1s,1d,1y \
            --preset pcm-nandakumar-2019 --preset gaussian:0.05 --out my-report
    """
    from driftproof._cli.tables import summary_table
    from driftproof._reporting import report, summarise
    from driftproof._reporting.device_notes import conditions
    from driftproof.data import load_data
    from driftproof.evaluation._backends import check_backend
    from driftproof.evaluation._checks import check_devices
    from driftproof.evaluation._metrics import as_metric
    from driftproof.plans._evaluate import evaluate_deployments
    from driftproof.times import parse_times

    devices = check_devices(deployment.devices(presets))
    times_s, quantity = parse_times(times), as_metric(evaluation.metric).quantity
    check_backend(backend)
    precision = enough.precision(chips)
    loaded = network.load_trained()
    deployments = deployment.deployments(devices, tiles)
    evaluator = evaluation.evaluator(loaded, evaluation.limited(load_data(data)), backend)
    with executors.executor() as executor:
        record = evaluate_deployments(
            evaluator,
            deployments,
            times=times_s,
            chips=chips,
            out=out,
            label=label,
            within_validity=tiles.within_validity,
            precision=precision,
            executor=executor,
        )
    with record:
        page = report(record, out)
        title = f"{loaded.name}: {quantity.title} up to {format_time(times_s[-1])} after the first read"
        notes = [f"{name}: with a {text}" for name, text in conditions(record.presets()).items()]
        on = ON if precision is None else precision.on
        print_table(summary_table(summarise(record), quantity, title, *notes, on=on))
    print_line(f"report: {page}")

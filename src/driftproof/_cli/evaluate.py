"""``driftproof evaluate``: accuracy, or another metric, over inference time, device and chips."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftproof._cli.console import print_json, print_line, print_table
from driftproof._cli.deployment_groups import DeploymentOptions, deployments
from driftproof._cli.evaluation_groups import EvaluatorOptions, PrecisionOptions, WorkerOptions
from driftproof._cli.network_groups import NetworkOptions, TileOptions
from driftproof._cli.output_groups import RunOptions
from driftproof._cli.panels import COMPUTATION, DEVICE, NETWORK, OUTPUT, STATISTICS
from driftproof._cli.run_file import kept_beside
from driftproof._defaults import BACKEND, CHIPS, ON, TIMES
from driftproof.times import format_time

if TYPE_CHECKING:
    from driftproof._record import Record
    from driftproof.evaluation import Deployment, Evaluator
    from driftproof.plans._precision import Precision

ALL_TIMES = [",".join(TIMES)]
MOST_BLOCKS = 12
"""Number of devices times configurations up to which a table lists all times."""


def evaluate_command(
    context: typer.Context,
    network: NetworkOptions,
    evaluation: EvaluatorOptions,
    options: list[DeploymentOptions],
    tiles: list[TileOptions],
    enough: PrecisionOptions,
    executors: WorkerOptions,
    output: RunOptions,
    *,
    data: Annotated[str, typer.Option(rich_help_panel=NETWORK)],
    presets: Annotated[list[str], typer.Option("--preset", rich_help_panel=DEVICE)],
    times: Annotated[list[str], typer.Option(rich_help_panel=DEVICE)] = ALL_TIMES,
    chips: Annotated[str, typer.Option(rich_help_panel=STATISTICS)] = str(CHIPS),
    backend: Annotated[str, typer.Option(rich_help_panel=COMPUTATION)] = BACKEND,
    out: Annotated[Path, typer.Option(rich_help_panel=OUTPUT)],
    label: Annotated[str, typer.Option(rich_help_panel=OUTPUT)] = "",
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT)] = False,
) -> None:
    r"""Measure the accuracy, or another metric, of a network on simulated chips over years, and write a report.

    The network is programmed onto every chip of every device and evaluated at every time. A run that was stopped
    continues when the same command is given again. Options that can be repeated compare their values: two --preset and
    three --periphery are six combinations, on the same chips.

    Args:
        context: The options that were given.
        network: Options of the network and its weights.
        evaluation: Options of the metric, the samples and the processor.
        options: Options of the deployment, for each combination of those that were repeated.
        tiles: Options of the mapping onto tiles, for each combination.
        enough: Options of the precision.
        executors: Options of the processes or the cluster that compute.
        output: Options of the run and of what it prints.
        data (DATA): Samples to evaluate on: digits, cifar10:ROOT, cifar100:ROOT, mnist:ROOT, fashion-mnist:ROOT or
            svhn:ROOT (test samples), digits-train, cifar10-train:ROOT and so on (training samples), or
            FILE.py:FUNCTION, a function without arguments that returns a pair (inputs, targets), a Dataset or a
            DataLoader. ROOT is the folder that torchvision downloaded to. Images are normalised; mnist-pixels:ROOT
            gives pixels from 0 to 1, for each set of images.
        presets (DEVICE): Device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, DEVICE,LAYERS=DEVICE for
            another device in some layers (pcm-nandakumar-2019,conv1=ideal), or measured:FOLDER for the conductances of
            real chips. `driftproof presets list` shows the names. Repeat the option to compare devices.
        times (TIMES): Times at which chips are read, counted from the first read after programming and separated by
            commas; the units are s, min, h, d and y. The option can be repeated, too.
        chips (N): Number of chips to program per device, or FIRST-LAST for the chips of these numbers, such as 25-49:
            one job of several, whose records `driftproof merge` joins. Intervals become narrower with more chips.
        backend: Backend that computes the arrays: folded (effective weights in torch layers, fast) or tiles (the tiles
            of IBM aihwkit, slower).
        out (FOLDER): Folder for the record (record.sqlite, all results), its tables, the report (index.html) and the
            options of the run (run.toml).
        label (TEXT): Name of this evaluation in a report of several evaluations. Default: the name of the network.
        as_json: Print the summary as JSON on stdout, in place of the tables. Messages stand on stderr.

    Example:
        driftproof evaluate digits-cnn --data digits --times 1s,1d,1y \
            --preset pcm-nandakumar-2019 --preset gaussian:0.05 --out my-report
        driftproof evaluate digits-cnn --data digits --times 1d --out converters \
            --preset pcm-nandakumar-2019 --periphery ideal --periphery standard
    """
    from driftproof._reporting import report
    from driftproof.data import load_data
    from driftproof.evaluation._backends import check_backend
    from driftproof.evaluation._chance import warn_of_chance
    from driftproof.evaluation._checks import check_devices
    from driftproof.plans._evaluate import evaluate_deployments
    from driftproof.times import parse_times

    devices = check_devices(options[0].devices(presets))
    times_s = parse_times(",".join(times))
    check_backend(backend)
    precision = enough.precision(chips)
    loaded = network.load_trained()
    wanted = deployments(options, devices, tiles)
    evaluator = evaluation.evaluator(loaded, evaluation.limited(load_data(data)), backend)
    layers = evaluator.mapping(wanted[0].mapping).layers
    with contextlib.ExitStack() as stack:
        stack.enter_context(output.progress())
        used = stack.enter_context(kept_beside(context, out))
        executor = stack.enter_context(executors.executor(layers, evaluation.batch_size, used, quiet=output.quiet))
        warn_of_chance(evaluator)
        record = stack.enter_context(
            evaluate_deployments(
                evaluator,
                wanted,
                times=times_s,
                chips=chips,
                out=out,
                label=label,
                within_validity=tiles[0].within_validity,
                precision=precision,
                executor=executor,
            )
        )
        page = report(record, out)
        if as_json:
            print_json(_content(record, out, page))
        elif not output.quiet:
            _show(record, evaluator, wanted, precision)
    if not as_json and not output.quiet:
        print_line(f"report: {page}")


def _show(record: Record, evaluator: Evaluator, wanted: Sequence[Deployment], precision: Precision | None) -> None:
    """Print the summary, the configurations and presets in the order in which they were asked for."""
    from driftproof._cli.summary_tables import in_order, summary_table, sweep_table
    from driftproof._record import config_id
    from driftproof._reporting.device_notes import conditions
    from driftproof._reporting.gather import gather
    from driftproof.evaluation._identity import conditions_of

    evidence, on = gather(record), ON if precision is None else precision.on
    presets = list(dict.fromkeys(deployment.device.name for deployment in wanted))
    asked = list(dict.fromkeys(config_id(evaluator.subject, conditions_of(evaluator, each)) for each in wanted))
    summary = in_order(evidence.summary, presets, asked)
    quantity, last = evidence.quantity, float(summary["t_s"].max())
    names = {key: evidence.names[key] for key in dict.fromkeys(summary["config_id"])}
    notes = [f"{name}: with a {text}" for name, text in conditions(record.presets()).items()]
    title = f"{evaluator.name}: {quantity.title} up to {format_time(last)} {evidence.origin.since}"
    if len(summary[summary["chips"] > 0].groupby(["config_id", "preset"])) <= MOST_BLOCKS:
        print_table(summary_table(summary, quantity, title, *notes, on=on, names=names))
    else:
        print_line("all times: in summary.csv and the report\n")
    if len(names) > 1:
        print_table(sweep_table(summary, quantity, names, on))


def _content(record: Record, out: Path, page: Path) -> dict[str, Any]:
    """Return the summary and where everything lies, as plain values."""
    from driftproof._record.table import with_shown_ids
    from driftproof._reporting import summarise

    rows = json.loads(with_shown_ids(summarise(record)).to_json(orient="records", double_precision=15))
    return {"record": str(record.where), "report": str(page), "folder": str(out.resolve()), "summary": rows}

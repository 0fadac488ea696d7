"""``driftproof sensitivity``: which layers cost what, why, and which must be digital to keep a target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.cli.groups import DeploymentOptions, EvaluatorOptions, NetworkOptions, TileOptions
from driftproof.cli.option_groups import with_groups
from driftproof.defaults import BACKEND, CHIPS, LAYER_CHIPS

if TYPE_CHECKING:
    import pandas as pd

    from driftproof.data import Data

DEVICE = "Device: NAME, NAME:ARGUMENT, FILE.toml, DEVICE,LAYERS=DEVICE or measured:FOLDER."
OLD_CELLS = "deployment_cells.csv"
REPORTED = "reported"
"""Folder in --out for the record of the samples that a search is reported on."""


@with_groups
def sensitivity_command(
    network: NetworkOptions,
    data: Annotated[
        str, typer.Option(help="Data to measure and choose on: digits, cifar10:ROOT, mnist:ROOT or file.py:callable.")
    ],
    preset: Annotated[str, typer.Option(help=DEVICE)],
    out: Annotated[Path, typer.Option(help="Folder for the record, tables and figures; the same folder continues.")],
    measured: EvaluatorOptions,
    deployment: DeploymentOptions,
    tiles: TileOptions,
    time: Annotated[str, typer.Option(help="Time after programming.")] = "1y",
    chips: Annotated[
        int, typer.Option(help="Number of chips to program, the same for all sets of digital layers.")
    ] = LAYER_CHIPS,
    target: Annotated[
        float | None,
        typer.Option(help="Search for the fewest digital layers that keep this value (accuracies in percent)."),
    ] = None,
    report_data: Annotated[
        str | None, typer.Option(help="Other samples, to report the search on; half of --data unless given.")
    ] = None,
    report_chips: Annotated[
        int | None, typer.Option(help=f"Number of other chips, to report the search on; {CHIPS} unless given.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="By how much the search is to be better than the target; 0 unless given.")
    ] = None,
    breadth: Annotated[
        int | None, typer.Option(help="Try only the N best layers in later rounds of the search.")
    ] = None,
) -> None:
    """Measure what each layer costs on a chip, what the drop is made of, and which layers must be digital (--target).

    With --target and no --report-data, layers are chosen on the second half of --data and reported on the first.
    """
    from driftproof.cli.deployment_tables import causes_table, curve_table, layers_table
    from driftproof.data import halves, load_data
    from driftproof.errors import DriftproofError
    from driftproof.evaluation.checks import check_validity
    from driftproof.plans import causes, choose_digital_layers, sensitivity
    from driftproof.plans.causes import has_causes
    from driftproof.plans.figures import draw_causes, draw_curve, draw_layers
    from driftproof.record import Record
    from driftproof.reporting.figures import render
    from driftproof.times import parse_time

    if target is None and (report_data, report_chips, margin, breadth) != (None, None, None, None):
        raise DriftproofError(
            "--report-data, --report-chips, --margin and --breadth are of the search: give it a --target"
        )
    (device,) = deployment.devices([preset])
    if tiles.within_validity:
        check_validity([device], (parse_time(time),))
    (chosen,) = deployment.deployments([device], tiles)
    loaded = network.load_trained()
    samples: Data = measured.limited(load_data(data))
    others: Data | None = None
    if report_data is not None:
        others = measured.limited(load_data(report_data))
    elif target is not None:
        others, samples = halves(samples)
    _check_folder(out)
    evaluator, console = measured.evaluator(loaded, samples, BACKEND), tables()
    chosen = evaluator.calibrated(chosen)

    def write(name: str, table: pd.DataFrame, drawn: tuple[bytes, bytes]) -> None:
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")
        for form, content in zip(("svg", "png"), drawn, strict=True):
            (out / f"{name}.{form}").write_bytes(content)

    with Record.create_or_open(out) as record:
        each = sensitivity(evaluator, chosen, time, chips=chips, record=record)
        write("layers", each.table(), render(draw_layers, each))
        console.print(layers_table(each))
        if has_causes(device):
            why = causes(evaluator, chosen, time, chips=chips, record=record)
            write("causes", why.table(), render(draw_causes, why))
            console.print(causes_table(why))
        else:
            console.print("Measured conductances cannot be taken apart into causes.")
        if target is not None and others is not None:
            with Record.create_or_open(out / REPORTED) as report_record:
                found = choose_digital_layers(
                    evaluator,
                    evaluator.on(others),
                    chosen,
                    time,
                    target=target,
                    chips=chips,
                    report_chips=CHIPS if report_chips is None else report_chips,
                    margin=0.0 if margin is None else margin,
                    breadth=breadth,
                    record=record,
                    report_record=report_record,
                )
            write("curve", found.table(), render(draw_curve, found))
            console.print(curve_table(found))
            console.print(escape(found.verdict()))
    lines().print(f"tables and figures: {escape(str(out))}")


def _check_folder(out: Path) -> None:
    """Refuse a folder of an earlier driftproof, whose cells were kept in another form."""
    from driftproof.errors import DriftproofError

    if (out / OLD_CELLS).exists():
        raise DriftproofError(
            f"{out / OLD_CELLS} holds cells of an earlier driftproof, which are not continued; choose another --out "
            "folder (the file is a CSV table that any program reads)"
        )

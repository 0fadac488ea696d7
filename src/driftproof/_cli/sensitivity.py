"""``driftproof sensitivity``: what each layer costs, why, and which layers must be digital to keep a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from driftproof._cli.console import print_line, print_table
from driftproof._cli.groups import DeploymentOptions, EvaluatorOptions, NetworkOptions, TileOptions, WorkerOptions
from driftproof._defaults import BACKEND, CHIPS, LAYER_CHIPS
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

    from driftproof.data import Data
    from driftproof.plans._causes import Causes
    from driftproof.plans._mixed_deployment import MixedDeployment
    from driftproof.plans._sensitivity import Sensitivity

OLD_CELLS = "deployment_cells.csv"
REPORTED = "reported"
"""Folder in --out for the record of the samples that a search is reported on."""


@dataclass(kw_only=True)
class SearchOptions:
    """The search for the fewest digital layers that keep a target.

    Attributes:
        target (VALUE): Required value of the metric (for accuracies in percent, such as 90). The command then searches
            for the digital layers with the fewest multiply-accumulates that reach it. Default: no search.
        report_data (DATA): Samples on which the result of the search is reported, in the forms of --data. Default:
            layers are chosen on the second half of --data and reported on the first half.
        report_chips (N): Number of chips on which the result of the search is reported; they are other chips than those
            of the search. Default: 25.
        margin (VALUE): The search stops only when the metric is better than --target by this amount, in the unit of the
            metric, on the samples and chips of the search. Default: 0.
        breadth (N): Number of layers that the search tries in each round after the first. It tries the layers that
            ranked best so far, and the others only if none of these gains. Default: all layers.
    """

    panel: ClassVar[str] = "Search for digital layers"
    target: float | None = None
    report_data: str | None = None
    report_chips: int | None = None
    margin: float | None = None
    breadth: int | None = None

    def check(self) -> None:
        """Raise DriftproofError for options of a search without a target."""
        others = (self.report_data, self.report_chips, self.margin, self.breadth)
        if self.target is None and others != (None, None, None, None):
            raise DriftproofError(
                "--report-data, --report-chips, --margin and --breadth are options of the search for digital layers: "
                "give it a --target"
            )

    def split(self, samples: Data, evaluation: EvaluatorOptions) -> tuple[Data, Data | None]:
        """Return the samples to choose on and those to report on; None without a search."""
        from driftproof.data import load_data
        from driftproof.data._parts import halves

        if self.report_data is not None:
            return samples, evaluation.limited(load_data(self.report_data))
        return (samples, None) if self.target is None else halves(samples)[::-1]


def sensitivity_command(
    network: NetworkOptions,
    evaluation: EvaluatorOptions,
    deployment: DeploymentOptions,
    tiles: TileOptions,
    search: SearchOptions,
    executors: WorkerOptions,
    *,
    data: str,
    preset: str,
    out: Path,
    time: str = "1y",
    chips: int = LAYER_CHIPS,
) -> None:
    r"""Measure how much accuracy each layer costs on a chip, and which device effects cause the drop.

    With --target, also search for the fewest layers that must be digital to keep that accuracy. Every number is a
    difference between two configurations on the same chips. A run that was stopped continues when the same command is
    given again.

    Args:
        network: Options of the network and its weights.
        evaluation: Options of the metric, the samples and the processor.
        deployment: Options of the deployment.
        tiles: Options of the mapping onto tiles.
        search: Options of the search for digital layers.
        executors: Options of the processes or the cluster that compute.
        data (DATA): Samples to evaluate on: digits, cifar10:ROOT or mnist:ROOT (test samples), digits-train,
            cifar10-train:ROOT or mnist-train:ROOT (training samples), or FILE.py:FUNCTION, a function without arguments
            that returns a pair (inputs, targets), a Dataset or a DataLoader. ROOT is the folder that torchvision
            downloaded to.
        preset (DEVICE): Device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, DEVICE,LAYERS=DEVICE for
            another device in some layers (pcm-nandakumar-2019,conv1=ideal), or measured:FOLDER for the conductances of
            real chips. `driftproof presets list` shows the names.
        out (FOLDER): Folder for the record, the page (sensitivity.html), tables (CSV) and figures (SVG, PNG).
        time (TIME): Time after the first read at which the chips are read; the units are s, min, h, d and y.
        chips: Number of chips to program. Every set of digital layers is measured on the same chips.

    Example:
        driftproof sensitivity digits-cnn --data digits \
            --preset pcm-nandakumar-2019 --time 1y --target 98 --out my-layers
    """
    from driftproof._cli.deployment_tables import causes_table, curve_table, layers_table
    from driftproof._record import Record
    from driftproof._reporting.sensitivity_page import where_of, write_sensitivity
    from driftproof.data import load_data
    from driftproof.evaluation._checks import check_validity
    from driftproof.plans import causes, choose_digital_layers, sensitivity
    from driftproof.plans._causes import has_causes
    from driftproof.plans._figures import draw_causes, draw_curve, draw_layers
    from driftproof.times import parse_time

    search.check()
    (device,) = deployment.devices([preset])
    if tiles.within_validity:
        check_validity([device], (parse_time(time),))
    (chosen,) = deployment.deployments([device], tiles)
    loaded = network.load_trained()
    samples, others = search.split(evaluation.limited(load_data(data)), evaluation)
    _check_folder(out)
    evaluator = evaluation.evaluator(loaded, samples, BACKEND)
    chosen = evaluator.calibrated(chosen)

    parts, curve = None, None
    pictures: dict[str, bytes] = {}
    with Record.create_or_open(out) as record, executors.executor() as executor:
        layers = sensitivity(evaluator, chosen, time, chips=chips, record=record, executor=executor)
        pictures["layers"] = _show(out, "layers", layers, draw_layers, layers_table)
        if has_causes(device):
            parts = causes(evaluator, chosen, time, chips=chips, record=record, executor=executor)
            pictures["causes"] = _show(out, "causes", parts, draw_causes, causes_table)
        else:
            print_line("The drop by cause is left out: measured conductances cannot be taken apart into causes.")
        if others is not None and search.target is not None:
            with Record.create_or_open(out / REPORTED) as report_record:
                curve = choose_digital_layers(
                    evaluator,
                    evaluator.on(others),
                    chosen,
                    time,
                    target=search.target,
                    chips=chips,
                    report_chips=CHIPS if search.report_chips is None else search.report_chips,
                    margin=search.margin or 0.0,
                    breadth=search.breadth,
                    record=record,
                    report_record=report_record,
                    executor=executor,
                )
            pictures["curve"] = _show(out, "curve", curve, draw_curve, curve_table)
            if where := where_of(curve):
                print_line(f"to evaluate this choice: driftproof evaluate ... --where '{where}'")
        model = record.subject.model if record.subject else ""
    print_line(f"page: {write_sensitivity(out, model, layers, parts, curve, pictures)}")


def _show[R: (Sensitivity, Causes, MixedDeployment)](
    out: Path, name: str, result: R, draw: Callable[[R], Figure], table: Callable[[R], Group]
) -> bytes:
    """Print the table of a result; write its table as CSV and its figure as SVG and PNG. Return the SVG."""
    from driftproof._files import write_atomically, write_csv
    from driftproof._reporting.figures import render

    write_csv(out / f"{name}.csv", result.table())
    svg, png = render(draw, result)
    for form, content in (("svg", svg), ("png", png)):
        write_atomically(out / f"{name}.{form}", content)
    print_table(table(result))
    return svg


def _check_folder(out: Path) -> None:
    """Refuse a folder of an earlier driftproof, whose cells were kept in another form."""
    if (out / OLD_CELLS).exists():
        raise DriftproofError(
            f"{out / OLD_CELLS} holds cells of an earlier driftproof, which are not continued; choose another --out "
            "folder (the file is a CSV table that any program reads)"
        )

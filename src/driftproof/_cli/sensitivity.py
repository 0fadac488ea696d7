"""``driftproof sensitivity``: what each layer costs, why, and which layers must be digital to keep a target."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from driftproof._cli.console import print_line, print_table
from driftproof._cli.deployment_groups import DeploymentOptions, deployments
from driftproof._cli.evaluation_groups import EvaluatorOptions, WorkerOptions
from driftproof._cli.network_groups import NetworkOptions, TileOptions
from driftproof._cli.output_groups import RunOptions
from driftproof._cli.panels import DEVICE, NETWORK, OUTPUT, SEARCH, STATISTICS
from driftproof._cli.run_file import kept_beside
from driftproof._defaults import BACKEND, CHIPS, LAYER_CHIPS
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

    from driftproof._record import Record
    from driftproof.data import Data
    from driftproof.evaluation import Deployment, Evaluator
    from driftproof.evaluation._executor import Executor
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
        target (VALUE): Required value of the metric (for accuracies in percent, such as 90; 1 % and below need the
            sign, as in 0.5%). The command then searches for the digital layers with the fewest multiply-accumulates
            that reach it. Default: no search.
        report_data (DATA): Samples on which the result of the search is reported, in the forms of --data. Default:
            layers are chosen on the second half of --data and reported on the first half.
        report_chips (N): Number of chips on which the result of the search is reported; they are other chips than those
            of the search. Default: 25.
        margin (VALUE): The search stops only when the metric is better than --target by this amount, in the unit of the
            metric, on the samples and chips of the search. Default: 0.
        breadth (N): Number of layers that the search tries in each round after the first. It tries the layers that
            ranked best so far, and the others only if none of these gains. Default: all layers.
    """

    panel: ClassVar[str] = SEARCH
    target: str | None = None
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

    def wanted(self, evaluator: Evaluator) -> float | None:
        """Return the target as a number; None without a search."""
        return None if self.target is None else evaluator.metric.quantity.threshold(self.target, "target")

    def split(self, samples: Data, evaluation: EvaluatorOptions) -> tuple[Data, Data | None]:
        """Return the samples to choose on and those to report on; None without a search."""
        from driftproof.data import load_data
        from driftproof.data._parts import halves

        if self.report_data is not None:
            return samples, evaluation.limited(load_data(self.report_data))
        return (samples, None) if self.target is None else halves(samples)[::-1]


def sensitivity_command(
    context: typer.Context,
    network: NetworkOptions,
    evaluation: EvaluatorOptions,
    deployment: DeploymentOptions,
    tiles: TileOptions,
    search: SearchOptions,
    executors: WorkerOptions,
    output: RunOptions,
    *,
    data: Annotated[str, typer.Option(rich_help_panel=NETWORK)],
    preset: Annotated[str, typer.Option(rich_help_panel=DEVICE)],
    out: Annotated[Path, typer.Option(rich_help_panel=OUTPUT)],
    time: Annotated[str, typer.Option(rich_help_panel=DEVICE)] = "1y",
    chips: Annotated[int, typer.Option(rich_help_panel=STATISTICS)] = LAYER_CHIPS,
) -> None:
    r"""Measure how much accuracy each layer costs on a chip, and which device effects cause the drop.

    With --target, also search for the fewest layers that must be digital to keep that accuracy. Every number is a
    difference between two configurations on the same chips. A run that was stopped continues when the same command is
    given again.

    Args:
        context: The options that were given.
        network: Options of the network and its weights.
        evaluation: Options of the metric, the samples and the processor.
        deployment: Options of the deployment.
        tiles: Options of the mapping onto tiles.
        search: Options of the search for digital layers.
        executors: Options of the processes or the cluster that compute.
        output: Options of the run and of what it prints.
        data (DATA): Samples to evaluate on: digits, cifar10:ROOT, cifar100:ROOT, mnist:ROOT, fashion-mnist:ROOT or
            svhn:ROOT (test samples), digits-train, cifar10-train:ROOT and so on (training samples), or
            FILE.py:FUNCTION, a function without arguments that returns a pair (inputs, targets), a Dataset or a
            DataLoader. ROOT is the folder that torchvision downloaded to. Images are normalised; mnist-pixels:ROOT
            gives pixels from 0 to 1, for each set of images.
        preset (DEVICE): Device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, DEVICE,LAYERS=DEVICE for
            another device in some layers (pcm-nandakumar-2019,conv1=ideal), or measured:FOLDER for the conductances of
            real chips. `driftproof presets list` shows the names.
        out (FOLDER): Folder for the record, the page (sensitivity.html), tables (CSV), figures (PDF, SVG, PNG) and the
            options of the run (run.toml).
        time (TIME): Time after the first read at which the chips are read; the units are s, min, h, d and y.
        chips: Number of chips to program. Every set of digital layers is measured on the same chips.

    Example:
        driftproof sensitivity digits-cnn --data digits \
            --preset pcm-nandakumar-2019 --time 1y --target 98 --out my-layers
    """
    from driftproof._record import Record
    from driftproof._reporting.sensitivity_page import where_of, write_sensitivity
    from driftproof.data import load_data
    from driftproof.evaluation._chance import warn_of_chance
    from driftproof.evaluation._checks import check_validity
    from driftproof.times import parse_time

    search.check()
    (device,) = deployment.devices([preset])
    if tiles.within_validity:
        check_validity([device], (parse_time(time),))
    (chosen,) = deployments([deployment], [device], [tiles])
    loaded = network.load_trained()
    samples, others = search.split(evaluation.limited(load_data(data)), evaluation)
    _check_folder(out)
    evaluator = evaluation.evaluator(loaded, samples, BACKEND)
    target = search.wanted(evaluator)
    chosen = evaluator.calibrated(chosen)
    layers = evaluator.mapping(chosen.mapping).layers
    with contextlib.ExitStack() as stack:
        stack.enter_context(output.progress())
        used = stack.enter_context(kept_beside(context, out))
        executor = stack.enter_context(executors.executor(layers, evaluation.batch_size, used, quiet=output.quiet))
        warn_of_chance(evaluator)
        record = stack.enter_context(Record.create_or_open(out))
        work = _Work(evaluator, chosen, time, chips, record, executor, out, quiet=output.quiet)
        if target is not None:  # before the layers are measured, which takes long
            work.check_target(target, search)
        parts, curve = work.take_apart(), None
        if others is not None and target is not None:
            curve = work.search(evaluator.on(others), target, search)
            if chosen_layers := where_of(curve):
                where = ",".join(filter(None, [tiles.where, chosen_layers]))
                print_line(f"this choice, in other commands: --where {shlex.quote(where)}", quiet=output.quiet)
        model = record.subject.model if record.subject else ""
    page = write_sensitivity(out, model, *parts, curve, work.pictures)
    print_line(f"page: {page}", quiet=output.quiet)


@dataclass(frozen=True)
class _Work:
    """What is measured, on what, and where it is written."""

    evaluator: Evaluator
    deployment: Deployment
    time: str
    chips: int
    record: Record
    executor: Executor
    out: Path
    quiet: bool
    pictures: dict[str, bytes] = field(default_factory=dict)
    """Figures as SVG, by their names."""

    def check_target(self, target: float, search: SearchOptions) -> None:
        """Refuse a target that the digital network does not reach."""
        from driftproof.plans._measure import ready
        from driftproof.plans._search import reached_by_digital

        with ready(self.evaluator, {self.deployment.device.name: self.deployment}, self.record) as held:
            reached_by_digital(self.evaluator, held, target, search.margin or 0.0, self.executor)

    def take_apart(self) -> tuple[Sensitivity, Causes | None]:
        """Measure and show what each layer and each cause costs (None: causes cannot be told apart)."""
        from driftproof._cli.deployment_tables import causes_table, layers_table
        from driftproof.plans import causes, sensitivity
        from driftproof.plans._causes import has_causes
        from driftproof.plans._figures import draw_causes, draw_layers

        what = (self.evaluator, self.deployment, self.time)
        layers = sensitivity(*what, chips=self.chips, record=self.record, executor=self.executor)
        self.show("layers", layers, draw_layers, layers_table)
        if not has_causes(self.deployment.device):
            print_line(
                "The drop by cause is left out: measured conductances cannot be taken apart into causes.",
                quiet=self.quiet,
            )
            return layers, None
        parts = causes(*what, chips=self.chips, record=self.record, executor=self.executor)
        self.show("causes", parts, draw_causes, causes_table)
        return layers, parts

    def search(self, reporting: Evaluator, target: float, search: SearchOptions) -> MixedDeployment:
        """Search for digital layers; report them on other samples and chips, and show the curve."""
        from driftproof._cli.deployment_tables import curve_table
        from driftproof._record import Record
        from driftproof.plans import choose_digital_layers
        from driftproof.plans._figures import draw_curve

        with Record.create_or_open(self.out / REPORTED) as reported:
            curve = choose_digital_layers(
                self.evaluator,
                reporting,
                self.deployment,
                self.time,
                target=target,
                chips=self.chips,
                report_chips=CHIPS if search.report_chips is None else search.report_chips,
                margin=search.margin or 0.0,
                breadth=search.breadth,
                record=self.record,
                report_record=reported,
                executor=self.executor,
            )
        self.show("curve", curve, draw_curve, curve_table)
        return curve

    def show[R: (Sensitivity, Causes, MixedDeployment)](
        self, name: str, result: R, draw: Callable[[R], Figure], table: Callable[[R], Group]
    ) -> None:
        """Print the table of a result; write its table as CSV and its figure as PDF, SVG and PNG."""
        from driftproof._drawing import render_paper, render_svg
        from driftproof._files import write_atomically, write_csv

        write_csv(self.out / f"{name}.csv", result.table())
        for form, content in render_paper(draw, result).items():
            write_atomically(self.out / f"{name}.{form}", content)
        self.pictures[name] = render_svg(draw, result)
        print_table(table(result), quiet=self.quiet)


def _check_folder(out: Path) -> None:
    """Refuse a folder of an earlier driftproof, whose cells were kept in another form."""
    if (out / OLD_CELLS).exists():
        raise DriftproofError(
            f"{out / OLD_CELLS} holds cells of an earlier driftproof, which are not continued; choose another --out "
            "folder (the file is a CSV table that any program reads)"
        )

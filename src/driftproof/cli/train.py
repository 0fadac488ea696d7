"""``driftproof train``: train a network against a device's own noise, validated on chips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from driftproof.cli.console import lines, tables
from driftproof.cli.groups import NetworkOptions, TileOptions
from driftproof.cli.option_groups import with_groups
from driftproof.cli.train_groups import MethodOptions, SettingsOptions, ValidationOptions
from driftproof.cli.train_options import check_options

if TYPE_CHECKING:
    from driftproof.training import Training
    from driftproof.training.log import Row


@with_groups
def train_command(
    context: typer.Context,
    network: NetworkOptions,
    data: Annotated[str, typer.Option(help="Data to train on: digits-train, cifar10-train:ROOT or file.py:callable.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, state and log; the same folder continues.")],
    how: MethodOptions,
    settings: SettingsOptions,
    validated: ValidationOptions,
    tiles: TileOptions,
    preset: Annotated[
        str | None, typer.Option(help="Device whose noise is drawn and on whose chips the network is validated.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Time after programming: 1d, or a range from which times are drawn log-uniformly: 1h..1y."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first N samples.")] = None,
) -> None:
    """Train (or fine-tune) a network so that it holds on a device; best.safetensors is the best epoch on its chips."""
    from driftproof.data import load_data
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.presets import at_time
    from driftproof.training import train
    from driftproof.training.auto_strength import choose_strength
    from driftproof.training.methods.by_name import named_method
    from driftproof.training.noise import as_noise
    from driftproof.training.parallel import is_first
    from driftproof.training.random_state import random_state_kept

    auto = how.strength == "auto"
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    check_options(given, how.method, named_method(how.method), auto)
    loaded = network.load()
    samples = load_data(data)
    samples = samples if limit is None else samples.head(limit)

    noise, validate, where = None, None, ""
    if preset is not None:
        target = load_device(preset)
        if target.chips is not None:
            raise DriftproofError("--preset measured: a few chips would be learnt by heart; fit a preset to them")
        noise = as_noise(target if time is None else at_time(target, time))  # refuses one without the time it wants
        held, samples = validated.split(samples)
        validate = validated.validation(target, time, held, tiles.options(), tiles.within_validity)
        when = "" if time is None else f" at {time}"
        where = f"{validated.validation_chips} chips of {target.name}{when}, {len(held)} samples of {held.name}"
    plain, console = lines(), tables()
    plain.quiet = console.quiet = not is_first()  # of several processes, one speaks
    better = validate is None or validate.higher_is_better
    if not loaded.trained:
        with random_state_kept(settings.seed):
            loaded = network.load()
        plain.print(f"{network.model}: no weights given, training from random ones")
    level = how.strength
    if auto:
        assert validate is not None
        epochs = max(1, settings.epochs // 5) if settings.auto_epochs is None else settings.auto_epochs
        choice = choose_strength(
            loaded.model,
            samples,
            lambda strength: how.make(noise, strength, tiles.options(), settings.seed),
            validate,
            settings=settings.settings(epochs),
            higher_is_better=better,
            on_trial=lambda trial: plain.print(
                f"strength {trial.strength:g}: "
                + (f"validation {trial.validation:.2f}" if trial.validation is not None else trial.failure)
            ),
        )
        plain.print(str(choice))
        level = f"{choice.strength:g}"

    def shown(row: Row) -> None:
        if row["validation"] is not None:
            plain.print(
                f"epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, strength {row['strength']:.3g}, "
                f"validation {row['validation']:.2f}"
            )

    result = train(
        loaded.model,
        samples,
        method=how.make(noise, level, tiles.options(), settings.seed),
        settings=settings.settings(settings.epochs),
        validate=validate,
        higher_is_better=better,
        out=out,
        on_row=shown,
        within_validity=tiles.within_validity,
    )
    console.print(_table(result))
    if result.best is not None:
        plain.print(f"best: epoch {result.best_epoch}, {result.best:.2f} on {where}, held out of this training")
    name = "best" if result.best is not None else "last"
    plain.print(f"weights: {escape(str((out / f'{name}.safetensors').resolve()))}")


def _table(result: Training) -> Table:
    """Return one row per epoch, and the last one."""
    rows: Sequence[Row] = result.rows
    table = Table(title="Epochs")
    for name in ("epoch", "strength", "loss", "update_norm", "noise", "validation"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        if row["updates"] != rows[-1]["updates"] and row["validation"] is None:
            continue
        # measured every 20 updates: not in every row of the log
        noise = [float(other["noise"]) for other in rows if other["epoch"] == row["epoch"] and other["noise"]]
        mean = sum(noise) / len(noise) if noise else None
        cells = [row["epoch"], row["strength"], row["loss"], row["update_norm"], mean, row["validation"]]
        table.add_row(f"{cells[0]:.0f}", *("" if value is None else f"{value:.4g}" for value in cells[1:]))
    return table

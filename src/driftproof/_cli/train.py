"""``driftproof train``: train a network with the noise of a device, and validate it on chips."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftproof._cli.command import given_options
from driftproof._cli.console import print_line, print_table
from driftproof._cli.network_groups import NetworkOptions, TileOptions
from driftproof._cli.output_groups import RunOptions
from driftproof._cli.panels import COMPUTATION, DEVICE, NETWORK, OUTPUT
from driftproof._cli.run_file import kept_beside
from driftproof._cli.train_groups import MethodOptions, SettingsOptions, ValidationOptions

if TYPE_CHECKING:
    from rich.console import Group
    from torch import nn

    from driftproof.data import Data
    from driftproof.plans import ChipValidation
    from driftproof.plans._digital_validation import DigitalValidation
    from driftproof.training import Method
    from driftproof.training._auto_strength import Tried
    from driftproof.training._log import Row
    from driftproof.training._loop import Training
    from driftproof.training._noise import Noise

FEW = 8
"""Number of samples with which the multiply-accumulates of a network are counted."""
EARLY = 0.5
"""Share of the largest strength below which the best epoch had little noise."""
COLUMNS = ("epoch", "strength", "loss", "update_norm", "noise", "validation")


def train_command(
    context: typer.Context,
    network: NetworkOptions,
    how: MethodOptions,
    settings: SettingsOptions,
    validated: ValidationOptions,
    tiles: TileOptions,
    output: RunOptions,
    *,
    data: Annotated[str, typer.Option(rich_help_panel=NETWORK)],
    out: Annotated[Path, typer.Option(rich_help_panel=OUTPUT)],
    preset: Annotated[str | None, typer.Option(rich_help_panel=DEVICE)] = None,
    time: Annotated[str | None, typer.Option(rich_help_panel=DEVICE)] = None,
    limit: Annotated[int | None, typer.Option(rich_help_panel=NETWORK)] = None,
    threads: Annotated[int | None, typer.Option(rich_help_panel=COMPUTATION)] = None,
) -> None:
    r"""Train or fine-tune a network with the noise of a device, so that it keeps its accuracy on chips.

    With --preset, the network is validated on simulated chips after every epoch, and best.safetensors holds the weights
    of the best epoch; last.safetensors holds those of the last. With --validation-share or --validation-data and
    without --preset, the digital network is validated. A training that was stopped continues when the same command is
    given again.

    Args:
        context: The options that were given.
        network: Options of the network and its weights.
        how: Options of the training method.
        settings: Options of the training, apart from its method.
        validated: Options of the validation on chips.
        tiles: Options of the mapping onto tiles.
        output: Options of the run and of what it prints.
        data (DATA): Samples to train on: digits-train, cifar10-train:ROOT, cifar100-train:ROOT, mnist-train:ROOT,
            fashion-mnist-train:ROOT or svhn-train:ROOT, or FILE.py:FUNCTION, a function without arguments that returns
            a pair (inputs, targets), a Dataset or a DataLoader. ROOT is the folder that torchvision downloaded to.
            Images are normalised; mnist-pixels-train:ROOT gives pixels from 0 to 1, for each set of images.
        out (FOLDER): Folder for the weights, the log (log.csv), the state of the training and the options of the run
            (run.toml).
        preset (DEVICE): Device whose noise the --method draws and on whose chips the network is validated: NAME of a
            preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, or DEVICE,LAYERS=DEVICE. `driftproof presets list` shows
            the names. Methods without a device's noise (plain, sam, ...) do not need it.
        time (TIME): Time after the first read at which the noise of the device is drawn: one time (1d), or a range
            (1h..1y) from which times are drawn log-uniformly. Required if the errors of the device depend on time.
            Otherwise the default is the start of its valid times.
        limit (N): Number of samples to use, from the start of --data. Default: all samples.
        threads (N): Number of threads. The same number of threads gives the same weights. Default: 1 for a small
            network, which more threads slow down on a busy machine, else the processor cores.

    Example:
        driftproof train digits-cnn --data digits-train --preset pcm-nandakumar-2019 \
            --time 1h..1y --strength quadratic:to=2 --epochs 20 --out trained
        driftproof evaluate digits-cnn --weights trained/best.safetensors \
            --data digits --preset pcm-nandakumar-2019 --out my-report
    """
    import torch

    from driftproof.data import load_data
    from driftproof.training import train
    from driftproof.training._parallel import is_first

    quiet = output.quiet or not is_first()  # of several processes, one prints
    tell = partial(print_line, quiet=quiet)
    how.check(given_options(context))
    network.check_out(out)
    loaded = network.load()
    samples = load_data(data)
    samples = samples if limit is None else samples.head(limit)
    if settings.batch_size is None and samples.loader_batch is not None:
        tell(f"updates take {samples.loader_batch} samples, as the DataLoader of --data does (--batch-size changes it)")
    noise: Noise | None = None
    validate: ChipValidation | DigitalValidation | None
    if preset is not None:
        noise, validate, samples, where = validated.on_chips(preset, time, samples, tiles)
    else:
        validate, samples, where = validated.digital(samples)
    model = loaded.model if loaded.trained else _untrained(network, settings.seed, tell)

    def make(strength: str | float | None) -> Method:
        made: Method = how.make(noise, strength, tiles.options(), settings.seed)
        return made

    with contextlib.ExitStack() as stack:
        stack.enter_context(output.progress())
        stack.enter_context(_threads(model, samples, settings.settings().batch_size_on(samples), threads, quiet=quiet))
        if is_first():
            used = stack.enter_context(kept_beside(context, out))
            used["threads"] = torch.get_num_threads()
        strength = how.strength
        if strength == "auto":
            assert validate is not None
            strength = _chosen_strength(model, samples, make, validate, settings, tell)
        result = train(
            model,
            samples,
            method=make(strength),
            settings=settings.settings(),
            validate=validate,
            higher_is_better=validate is None or validate.higher_is_better,
            out=out,
            on_row=lambda row: _tell_epoch(row, tell),
            within_validity=tiles.within_validity,
        )
    print_table(_table(result), quiet=quiet)
    if result.best is not None:
        tell(f"best: epoch {result.best_epoch}, validation {result.best:.2f} on {where}, held out of this training")
        _tell_early(result, tell)
    name = "last" if result.best is None else "best"
    tell(f"weights: {(out / f'{name}.safetensors').resolve()}")
    if network.is_hugging_face and not quiet:
        _write_hugging_face(network, result, out, where)
        tell(f"folder of Hugging Face with a model card: hf:{out}")


def _tell_early(result: Training, tell: Callable[[str], None]) -> None:
    """Say that the best epoch had little training noise, which a ramp from 0 leads to."""
    ends = {row["epoch"]: row["strength"] or 0.0 for row in result.rows}
    strength, largest = ends[result.best_epoch], max(ends.values())
    if strength < EARLY * largest:
        tell(
            f"epoch {result.best_epoch} was trained with noise of strength {strength:.2g}; the later ones, with up to "
            f"{largest:.2g}, were no better on these chips, which have the whole noise of the device at every epoch. "
            "Try a smaller --strength or more --epochs; last.safetensors has the weights of the last epoch"
        )


def _write_hugging_face(network: NetworkOptions, result: Training, out: Path, where: str) -> None:
    """Write the trained network as a folder that hf:FOLDER reads."""
    import json

    from driftproof.training._checkpoint import SETTINGS
    from driftproof.zoo._hf_folder import write_folder

    ends = {row["epoch"]: row for row in result.rows}  # the last row of each epoch has the validation
    rows = [{name.replace("_", " "): row[name] for name in COLUMNS} for row in ends.values()]
    kept = "the last epoch" if result.best is None else f"epoch {result.best_epoch}, which has the best validation"
    on = f"; the validation is on {where}, held out of the training" if where else ""
    note = f"The weights are those of {kept}{on}."
    settings = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    write_folder(network.folder, out, result.model, rows=rows, settings=settings, note=note)


def _threads(
    model: nn.Module, samples: Data, batch_size: int, threads: int | None, *, quiet: bool
) -> contextlib.AbstractContextManager[None]:
    """Return a ``with`` block with the number of threads that suits an update."""
    from driftproof._cli.threads import threads_for
    from driftproof._mapping import map_model

    example = next(iter(samples.batches(min(FEW, len(samples)))))[0]
    return threads_for(map_model(model, example=example).layers, batch_size, threads, quiet=quiet)


def _untrained(network: NetworkOptions, seed: int, tell: Callable[[str], None]) -> nn.Module:
    """Return the network with random weights that the seed decides."""
    from driftproof._random_state import random_state_kept

    with random_state_kept(seed):
        model = network.load().model
    tell(f"{network.model}: no --weights were given; training starts from random weights (seed {seed})")
    return model


def _chosen_strength(
    model: nn.Module,
    samples: Data,
    make: Callable[[float], Method],
    validate: ChipValidation | DigitalValidation,
    settings: SettingsOptions,
    tell: Callable[[str], None],
) -> str:
    """Return the strength whose short training has the best validation."""
    from driftproof.training._auto_strength import choose_strength

    def tell_trial(trial: Tried) -> None:
        outcome = trial.failure if trial.validation is None else f"validation {trial.validation:.2f}"
        tell(f"strength {trial.strength:g}: {outcome}")

    choice = choose_strength(
        model,
        samples,
        make,
        validate,
        settings=settings.settings(trial=True),
        higher_is_better=validate.higher_is_better,
        on_trial=tell_trial,
    )
    tell(f"chosen: {choice}")
    return f"{choice.strength:g}"


def _tell_epoch(row: Row, tell: Callable[[str], None]) -> None:
    if row["validation"] is not None:
        strength, validation = f"strength {row['strength']:.3g}", f"validation {row['validation']:.2f}"
        tell(f"epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, {strength}, {validation}")


def _table(result: Training) -> Group:
    """Return one row per epoch, and the last row of the log."""
    from driftproof._cli.tables import plain_table, titled

    rows = []
    for row in result.rows:
        if row["updates"] != result.rows[-1]["updates"] and row["validation"] is None:
            continue
        # measured every 20 updates: not in every row of the log
        noise = [float(other["noise"]) for other in result.rows if other["epoch"] == row["epoch"] and other["noise"]]
        values = {**row, "noise": sum(noise) / len(noise) if noise else None}
        cells = ("" if values[name] is None else f"{values[name]:.4g}" for name in COLUMNS[1:])
        rows.append((f"{row['epoch']:.0f}", *cells))
    return titled("Epochs", plain_table([name.replace("_", " ") for name in COLUMNS], rows, words=0))

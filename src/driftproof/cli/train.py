"""``driftproof train``: train a network against a device's own noise, validated on chips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from driftproof.cli.console import lines, tables
from driftproof.cli.train_options import check_options

if TYPE_CHECKING:
    from driftproof.training.log import Row

HELD_OUT = 0.1  # share of the samples that is validated on, unless there is data for it


def train_command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:, timm:NAME, hf:DIR or file.py:callable")
    ],
    data: Annotated[
        str, typer.Option("--data", help="What is trained on: digits-train, cifar10-train:ROOT or file.py:callable.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for weights, state and log; the same folder continues.")],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Where to start (.pt, .pth, .th, .safetensors).")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Device: its chips are validated on, its noise is drawn."),
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="After programming: 1d, or a range, drawn log-uniformly: 1h..1y.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="plain, rwp, sam, sam-rwp, multi-step-sam, looksam, ...")
    ] = "rwp",
    strength: Annotated[
        str | None,
        typer.Option("--strength", help="Of the noise: a factor, 2; a schedule, quadratic:to=2,start=0.5; or auto."),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="From 0 to the strength (or rho): linear, quadratic or cosine.")
    ] = None,
    rho: Annotated[float | None, typer.Option("--rho", help="How far SAM and its kin ascend.")] = None,
    norms: Annotated[
        str | None,
        typer.Option("--norms", help="What moves BatchNorm statistics: perturbed, clean, recalibrate or frozen."),
    ] = None,
    clip_weights: Annotated[
        float | None, typer.Option("--clip-weights", help="Clip at so many standard deviations, after every update.")
    ] = None,
    clip_per: Annotated[
        str | None, typer.Option("--clip-per", help="Of the column, or the layer (as noise-injection has it).")
    ] = None,
    distil: Annotated[
        float | None, typer.Option("--distil", help="Share of the loss that is learning from the starting network.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes through the data.")] = 10,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Samples of one update.")] = 128,
    micro_batches: Annotated[int, typer.Option("--micro-batches", help="Parts of an update, each with its noise.")] = 1,
    lr: Annotated[float, typer.Option("--lr", help="Largest learning rate.")] = 0.01,
    optimizer: Annotated[str, typer.Option("--optimizer", help="sgd or adamw.")] = "sgd",
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="Of all parameters.")] = 1e-4,
    loss: Annotated[str, typer.Option("--loss", help="cross-entropy, mse, causal.")] = "cross-entropy",
    clip_norm: Annotated[float | None, typer.Option("--clip-norm", help="Largest norm of the gradient.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32, bfloat16 or float16.")] = "float32",
    augment: Annotated[str, typer.Option("--augment", help="none, or crop-flip for images.")] = "none",
    limit: Annotated[int | None, typer.Option("--limit", help="Use the first N samples only.")] = None,
    validation_data: Annotated[
        str | None, typer.Option("--validation-data", help="What is validated on; by default a random tenth of --data.")
    ] = None,
    validation_limit: Annotated[
        int | None, typer.Option("--validation-limit", help="Validate on the first N samples.")
    ] = None,
    validation_chips: Annotated[int, typer.Option("--validation-chips", help="Chips to validate on.")] = 5,
    auto_epochs: Annotated[
        int | None, typer.Option("--auto-epochs", help="Of each trial of --strength auto; a fifth of --epochs.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Layers on tiles: names, globs, !NAME, inner; all unless said.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="What is validated.")] = "accuracy",
    diagnose_every: Annotated[
        int, typer.Option("--diagnose-every", help="Updates between measurements that cost a pass; 0: never.")
    ] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
) -> None:
    """Train (or fine-tune) a network so that it holds on a device; best.safetensors is the best epoch on its chips."""
    from driftproof.data import as_data, held_out, load_data
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.evaluation.validation import ChipValidation
    from driftproof.measured import MeasuredDevice
    from driftproof.presets import DeviceMix, at_time
    from driftproof.training import ClipWeights, Distillation, OnTiles, Settings, train
    from driftproof.training.auto_strength import choose_strength
    from driftproof.training.methods.by_name import default_of, make_method, named_method
    from driftproof.training.noise import as_noise
    from driftproof.training.parallel import is_first
    from driftproof.training.random_state import random_state_kept
    from driftproof.training.schedule_text import as_schedule
    from driftproof.training.schedules import Constant, ramp
    from driftproof.zoo import load_model

    named, auto = named_method(method), strength == "auto"
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    check_options(given, method, named, auto)
    loaded = load_model(model, weights)
    samples = load_data(data)
    samples = samples if limit is None else samples.head(limit)

    noise, validate, when = None, None, ""
    if preset is not None:
        target = load_device(preset)
        if isinstance(target, MeasuredDevice):
            raise DriftproofError("--preset measured: a few chips would be learnt by heart; fit a preset to them")
        noise = as_noise(target if time is None else at_time(target, time))  # refuses one without the time it wants
        start = target.default.validity.t_s[0] if isinstance(target, DeviceMix) else target.validity.t_s[0]
        if validation_data is None:
            held, samples = held_out(samples, HELD_OUT)
        else:
            held = as_data(load_data(validation_data))
        held = held if validation_limit is None else held.head(validation_limit)
        when = "" if time is None else f" at {time}"
        validate = ChipValidation(
            data=held,
            preset=target,
            times=[start] if time is None else time.split(".."),
            chips=validation_chips,
            metric=metric,
            where=where,
        )

    def method_at(level: str | float | None) -> Any:
        """Return a new method; a level alone is the end of the schedule."""
        given: dict[str, Any] = {"strength": None if level is None else as_schedule(level), "rho": rho}
        if schedule is not None:
            ramped = "strength" if named.strength else "rho"
            end = as_schedule(given[ramped]) if given[ramped] is not None else default_of(method)
            if given[ramped] is not None and not isinstance(end, Constant):
                raise DriftproofError(f"--schedule {schedule} and --{ramped} {end} are two schedules; give one")
            given[ramped] = ramp(schedule, to=end.largest)  # type: ignore[arg-type]
        options: dict[str, Any] = {} if norms is None else {"norms": norms}
        if clip_weights is not None:
            per = clip_per or ("layer" if method == "noise-injection" else "column")
            options["clip"] = ClipWeights(sigmas=clip_weights, per=per)  # type: ignore[arg-type]
        if method != "plain":
            options["diagnose_every"] = diagnose_every
        return make_method(
            method,
            noise=noise if named.noise else None,
            **given,
            on_tiles=OnTiles(where=where),
            seed=seed,
            **options,
        )

    def settings_of(number: int) -> Settings:
        return Settings(
            epochs=number,
            batch_size=batch_size,
            micro_batches=micro_batches,
            optimizer=optimizer,  # type: ignore[arg-type]
            lr=lr,
            weight_decay=weight_decay,
            loss=loss,
            clip_norm=clip_norm,
            precision=precision,  # type: ignore[arg-type]
            augment=augment,
            distil=None if distil is None else Distillation(weight=distil),
            seed=seed,
            device=device,
        )

    plain, console = lines(), tables()
    plain.quiet = console.quiet = not is_first()  # of several processes, one speaks
    better = validate is None or validate.higher_is_better
    if not loaded.trained:
        with random_state_kept(seed):
            loaded = load_model(model, weights)
        plain.print(f"{model}: no weights given, training from random ones")
    if auto:
        assert validate is not None
        choice = choose_strength(
            loaded.model,
            samples,
            method_at,
            validate,
            settings=settings_of(max(1, epochs // 5) if auto_epochs is None else auto_epochs),
            higher_is_better=better,
            on_trial=lambda trial: plain.print(
                f"strength {trial.strength:g}: "
                + (f"validation {trial.validation:.2f}" if trial.validation is not None else trial.failure)
            ),
        )
        plain.print(str(choice))
        strength = f"{choice.strength:g}"

    def shown(row: Row) -> None:
        if row["validation"] is not None:
            plain.print(
                f"epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, strength {row['strength']:.3g}, "
                f"validation {row['validation']:.2f}"
            )

    result = train(
        loaded.model,
        samples,
        method=method_at(strength),
        settings=settings_of(epochs),
        validate=validate,
        higher_is_better=better,
        out=out,
        on_row=shown,
    )
    ended = [
        row for row in result.rows if row["updates"] == result.rows[-1]["updates"] or row["validation"] is not None
    ]
    console.print(_table(ended, result.rows))
    if result.best is not None:
        plain.print(
            f"best: epoch {result.best_epoch}, {result.best:.2f} on {validation_chips} chips of {target.name}{when}, "
            f"{len(held)} samples of {held.name}, held out of this training"
        )
    name = "best" if result.best is not None else "last"
    plain.print(f"weights: {escape(str((out / f'{name}.safetensors').resolve()))}")


def _table(rows: list[Row], all_rows: Sequence[Row]) -> Table:
    table = Table(title="Epochs")
    for name in ("epoch", "strength", "loss", "update_norm", "noise", "validation"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        # measured every 20 updates: not in every row of the log
        noise = [float(other["noise"]) for other in all_rows if other["epoch"] == row["epoch"] and other["noise"]]
        mean = sum(noise) / len(noise) if noise else None
        cells = [row["epoch"], row["strength"], row["loss"], row["update_norm"], mean, row["validation"]]
        table.add_row(f"{cells[0]:.0f}", *("" if value is None else f"{value:.4g}" for value in cells[1:]))
    return table

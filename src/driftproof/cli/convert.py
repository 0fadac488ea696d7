"""``driftproof convert``: what goes on tiles, and what does not and why; and the converted network as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables
from driftproof.cli.groups import NetworkOptions, TileOptions
from driftproof.cli.option_groups import with_groups
from driftproof.defaults import COMPENSATION

INPUT_SHAPES = {
    "digits-cnn": (1, 8, 8),
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56"), (3, 32, 32)),
    "torchvision:": (3, 224, 224),
}
SAFETENSORS = "safetensors"


@with_groups
def convert_command(
    network: NetworkOptions,
    preset: Annotated[str, typer.Option(help="Device: NAME, NAME:ARGUMENT, FILE.toml or DEVICE,LAYERS=DEVICE.")],
    tiles: TileOptions,
    compensation: Annotated[
        str, typer.Option(help="Compensation of the drift: none, tile, column or exact.")
    ] = COMPENSATION,
    input_shape: Annotated[
        str, typer.Option(metavar="C,H,W", help="Shape of one input, to watch the network with; known for named ones.")
    ] = "",
    to: Annotated[
        str | None, typer.Option(help="safetensors: write the converted network; driftproof.load reads it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New or empty folder for --to.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that --to wrote before.")] = False,
) -> None:
    """Put a network onto aihwkit tiles and list every layer: what it takes on tiles, or digital and why."""
    import torch

    from driftproof.cli.layers import layer_table
    from driftproof.conversion import convert, save
    from driftproof.device_choice import load_device

    _check_output(to, out)
    shape = _shape(input_shape, network.model, tiles.all_analog)
    device = load_device(preset)
    options = tiles.options()
    loaded = network.load_trained() if out is not None else network.load()
    analog = convert(
        loaded.model,
        device,
        compensation=compensation,
        tile=options.tile,
        example=None if shape is None else torch.zeros(1, *shape),
        where=options.where,
        scale=options.scale,
        clip=options.clip,
        all_analog=tiles.all_analog,
        within_validity=tiles.within_validity,
    )
    size = options.tile
    tables().print(layer_table(analog.layers, f"{loaded.name} on {device.name}, tiles of {size.rows} x {size.columns}"))
    if out is not None:
        lines().print(f"written: {escape(str(save(analog, out, overwrite=overwrite)))}")


def _shape(given: str, model: str, all_analog: bool) -> tuple[int, ...] | None:
    """Return the shape of one input; None if it is not known, which --all-analog refuses."""
    from driftproof.errors import DriftproofError

    if given:
        try:
            shape = tuple(int(part) for part in given.split(","))
            if min(shape) < 1:
                raise ValueError
        except ValueError:
            raise DriftproofError(f"--input-shape {given!r}: wanted whole numbers such as 3,32,32") from None
        return shape
    known = next(
        (
            shape
            for name, shape in INPUT_SHAPES.items()
            if model == name or (name.endswith(":") and model.startswith(name))
        ),
        None,
    )
    if known is None and all_analog:
        raise DriftproofError(
            "--all-analog: the network has to be watched on an input, for what its own code multiplies is not seen "
            "otherwise; give the shape of one with --input-shape, such as 3,32,32"
        )
    return known


def _check_output(to: str | None, out: Path | None) -> None:
    """Refuse what cannot be written before anything is computed."""
    from driftproof.errors import DriftproofError, did_you_mean

    if to == "aihwkit":
        raise DriftproofError(
            "--to aihwkit: aihwkit saves its layers with pickle, which driftproof does not write; in Python, "
            "driftproof.to_aihwkit(model).model is the network of aihwkit's layers"
        )
    if to not in (None, SAFETENSORS):
        raise DriftproofError(f"--to {to!r}{did_you_mean(str(to), [SAFETENSORS])}: wanted {SAFETENSORS}")
    if (to is None) != (out is None):
        raise DriftproofError(f"--to {SAFETENSORS} and --out FOLDER go together")

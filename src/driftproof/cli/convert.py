"""``driftproof convert``: what goes on tiles, and what does not and why; and the converted network as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from driftproof.cli.console import lines, tables

INPUT_SHAPES = {"digits-cnn": (1, 8, 8), "resnet": (3, 32, 32), "torchvision:": (3, 224, 224)}
SAFETENSORS = "safetensors"


def convert_command(
    model: Annotated[
        str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:, timm:NAME, hf:DIR or file.py:callable")
    ],
    preset: Annotated[
        str, typer.Option("--preset", help="Device: NAME, NAME:ARGUMENT, FILE.toml or DEVICE,LAYERS=DEVICE.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Trained weights (.pt, .pth, .th, .safetensors).")
    ] = None,
    compensation: Annotated[str, typer.Option("--compensation", help="none, tile, column or exact.")] = "tile",
    where: Annotated[
        str | None, typer.Option("--where", help="Layers on tiles: names, globs, !NAME, inner; all unless said.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse if a weight that multiplies stays digital unasked.")
    ] = False,
    tile: Annotated[str, typer.Option("--tile", metavar="ROWSxCOLUMNS", help="Largest crossbar.")] = "512x512",
    scale: Annotated[
        str, typer.Option("--scale", help="Weights relative to their tile's column, or to the whole layer.")
    ] = "column",
    clip: Annotated[
        float | None, typer.Option("--clip", help="Percentile of |w| that takes the largest weight's place.")
    ] = None,
    input_shape: Annotated[
        str, typer.Option(metavar="C,H,W", help="Shape of one input, to count MVMs with; known for named networks.")
    ] = "",
    to: Annotated[
        str | None, typer.Option("--to", help="safetensors: write the converted network; driftproof.load reads it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="New or empty folder for --to.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that --to wrote before.")] = False,
) -> None:
    """Put a network onto aihwkit tiles and list every layer: what it takes on tiles, or digital and why."""
    import torch

    from driftproof.cli.layers import layer_table
    from driftproof.conversion import convert, save
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.mapping import TileSize
    from driftproof.zoo import load_model

    _check_output(to, out)
    device = load_device(preset)
    size = TileSize.parse(tile)
    loaded = load_model(model, weights)
    if out is not None and not loaded.trained:
        raise DriftproofError(f"{model} has random weights: give its trained ones with --weights FILE")
    shape: tuple[int, ...] | None
    try:
        shape = tuple(int(part) for part in input_shape.split(",")) if input_shape else None
        if shape and min(shape) < 1:
            raise ValueError
    except ValueError:
        raise DriftproofError(f"--input-shape {input_shape!r}: wanted whole numbers such as 3,32,32") from None
    if shape is None:
        shape = next((s for name, s in INPUT_SHAPES.items() if model.startswith(name)), None)
    analog = convert(
        loaded.model,
        device,
        compensation=compensation,
        tile=size,
        example=None if shape is None else torch.zeros(1, *shape),
        where=where,
        scale=scale,  # type: ignore[arg-type]  # convert checks it
        clip=clip,
        strict=strict,
    )
    tables().print(layer_table(analog.layers, f"{loaded.name} on {device.name}, tiles of {size.rows} x {size.columns}"))
    if out is not None:
        lines().print(f"written: {escape(str(save(analog, out, overwrite=overwrite)))}")


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

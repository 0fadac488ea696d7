"""``driftproof convert``: what goes on tiles, and what does not and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftproof.cli.console import tables

INPUT_SHAPES = {"digits-cnn": (1, 8, 8), "resnet": (3, 32, 32), "torchvision:": (3, 224, 224)}


def convert_command(
    model: Annotated[str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:NAME or file.py:callable")],
    preset: Annotated[
        str, typer.Option("--preset", help="Device: NAME, NAME:ARGUMENT, FILE.toml or DEVICE,LAYERS=DEVICE.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Trained weights (.pt, .pth, .th, .safetensors).")
    ] = None,
    compensation: Annotated[str, typer.Option(help="none, tile, column or exact.")] = "tile",
    input_shape: Annotated[
        str, typer.Option(metavar="C,H,W", help="Shape of one input, to count MVMs with; known for named networks.")
    ] = "",
) -> None:
    """Put a network onto aihwkit tiles and list every layer: analog, or digital and why."""
    import torch

    from driftproof.cli.tables import layer_table
    from driftproof.conversion import convert
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.zoo import load_model

    device = load_device(preset)
    loaded = load_model(model, weights)
    shape: tuple[int, ...] | None
    try:
        shape = tuple(int(part) for part in input_shape.split(",")) if input_shape else None
        if shape and min(shape) < 1:
            raise ValueError
    except ValueError:
        raise DriftproofError(f"--input-shape {input_shape!r}: wanted whole numbers such as 3,32,32") from None
    if shape is None:
        shape = next((s for name, s in INPUT_SHAPES.items() if model.startswith(name)), None)
    example = None if shape is None else torch.zeros(1, *shape)
    analog = convert(loaded.model, device, compensation=compensation, example=example)
    tables().print(layer_table(analog.layers, f"{loaded.name} on {device.name}"))

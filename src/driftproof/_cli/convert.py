"""``driftproof convert``: which layers go on tiles, which do not and why; and the converted network as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from driftproof._cli.console import print_line, print_table
from driftproof._cli.network_groups import NetworkOptions, TileOptions
from driftproof._defaults import COMPENSATION
from driftproof._errors import DriftproofError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

INPUT_SHAPES = {
    **dict.fromkeys(("digits-cnn", "digits-resnet"), (1, 8, 8)),
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56"), (3, 32, 32)),
    "torchvision:": (3, 224, 224),
}
SAFETENSORS = "safetensors"


def convert_command(
    network: NetworkOptions,
    tiles: TileOptions,
    *,
    preset: str,
    compensation: str = COMPENSATION,
    input_shape: str = "",
    to: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    r"""Convert a network to analog tiles, and list every layer: its tiles, or the reason why it stays digital.

    Args:
        network: Options of the network and its weights.
        tiles: Options of the mapping onto tiles.
        within_validity: Save the network so that its chips refuse times outside the device's range of validity. It has
            an effect only with --to.
        preset (DEVICE): Device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, or DEVICE,LAYERS=DEVICE for
            another device in some layers (pcm-nandakumar-2019,conv1=ideal). `driftproof presets list` shows the names.
        compensation (KIND): Drift compensation, a digital factor on the outputs: none, tile (one factor per tile),
            column (one per column), or exact (least-squares fit to the target weights). Parameters follow a colon:
            reference_s (of tile and column) is the time at which the reference is read (default: 0, the first read),
            and every_s is the interval at which the factor is measured (default: at every read-out). The times are in
            seconds, or have a unit: tile:reference_s=60, column:every_s=1d.
        input_shape (SHAPE): Shape of one input without the batch dimension, such as 3,32,32. The network is run once on
            zeros of this shape to record which weights are used in matrix multiplications, and how often. Default: the
            usual shape for digits-cnn, digits-resnet, resnet20 to resnet56 and torchvision:NAME; unknown for other
            networks.
        to (FORMAT): Format in which the converted network is written to --out: safetensors, read by driftproof.load.
            Default: nothing is written.
        out (FOLDER): Folder for the converted network, which must be new or empty. Needs --to.
        overwrite: Replace the --out folder if an earlier conversion wrote it.

    Example:
        driftproof convert resnet20 --preset pcm-nandakumar-2019 --tile 256x256
        driftproof convert digits-cnn --preset ideal --to safetensors --out saved
    """
    import torch

    from driftproof._cli.layers import LayerTable
    from driftproof._conversion import convert, is_aihwkit_installed, save
    from driftproof._device_choice import load_device
    from driftproof._mapping import map_model

    _check_output(to, out)
    device, options = load_device(preset), tiles.options()
    loaded = network.load_trained() if out is not None else network.load()
    shape = shape_of_input(input_shape, network.model, loaded.model, tiles.all_analog)
    example = None if shape is None else torch.zeros(1, *shape)
    title = f"{loaded.name} on {device.name}, tiles of {options.tile.rows} x {options.tile.columns}"
    if out is None and not is_aihwkit_installed():
        mapping = map_model(loaded.model, example=example, **vars(options))
        device.check_layers(mapping.weights)
        print_table(LayerTable(mapping.layers, title))
        print_line("aihwkit is not installed: the layers were chosen, but not put on its tiles and run", stderr=True)
        return
    settings = {**vars(options), "compensation": compensation, "within_validity": tiles.within_validity}
    analog = convert(loaded.model, device, example=example, **settings)
    print_table(LayerTable(analog.layers, title))
    if out is not None:
        print_line(f"written: {save(analog, out, overwrite=overwrite)}")


def shape_of_input(given: str, name: str, model: nn.Module, all_analog: bool) -> tuple[int, ...] | None:
    """Return the shape of one input; None if it is not known, which --all-analog refuses.

    Args:
        given: Value of --input-shape; empty if it was not given.
        name: Name of the model.
        model: The model, which may know the shape as its ``input_shape``.
        all_analog: Whether --all-analog was given.
    """
    if given:
        try:
            shape = tuple(int(part) for part in given.split(","))
        except ValueError:
            shape = (0,)
        if min(shape) < 1:
            raise DriftproofError(f"--input-shape {given!r}: wanted whole numbers from 1, such as 3,32,32")
        return shape
    prefix, colon, _ = name.partition(":")
    known: tuple[int, ...] | None = INPUT_SHAPES.get(prefix + colon, getattr(model, "input_shape", None))
    if known is None and all_analog:
        raise DriftproofError(
            "--all-analog: the network must be run once to see the weights that its own code multiplies; "
            "give the shape of one input with --input-shape, such as 3,32,32"
        )
    return known


def _check_output(to: str | None, out: Path | None) -> None:
    """Refuse an output that cannot be written, before anything is computed."""
    if to == "aihwkit":
        raise DriftproofError(
            "--to aihwkit: aihwkit saves its layers with pickle, which driftproof does not write; in Python, "
            "driftproof.to_aihwkit(model).model is the network of aihwkit's layers"
        )
    if to not in (None, SAFETENSORS):
        raise DriftproofError(f"--to {to!r}{did_you_mean(str(to), [SAFETENSORS])}: wanted {SAFETENSORS}")
    if (to is None) != (out is None):
        raise DriftproofError(f"--to {SAFETENSORS} and --out FOLDER go together: give both, or neither")

"""``driftproof presets template``: a folder of conductances, as :mod:`driftproof.measured` reads it, to be filled."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, cast

from driftproof._cli.console import print_line
from driftproof._cli.network_groups import NetworkOptions, TileOptions
from driftproof._defaults import SEED
from driftproof._errors import DriftproofError

SETTINGS = "device.toml"


def template_command(
    network: NetworkOptions,
    tiles: TileOptions,
    *,
    out: Path,
    preset: str,
    input_shape: str = "",
    times: str = "1s,1h,1d",
    chips: int = 1,
    file_format: str = "npz",
    seed: int = SEED,
) -> None:
    r"""Write the folder of a measured chip for a network, with simulated conductances to be replaced by measured ones.

    `evaluate --preset measured:FOLDER` reads such a folder. It has one file per layer with one conductance per device
    and time, and device.toml with a hash of the weights, so that it is not taken for that of another network.
    docs/measured_arrays.md explains the files.

    Args:
        network: Options of the network and its weights.
        tiles: Options of the mapping onto tiles.
        within_validity: It has no effect here.
        strict: Same as --all-analog here.
        out (FOLDER): Folder to write, which must be new or empty.
        preset (DEVICE): Device that is simulated, with the range of conductances of the real one: NAME of a preset, or
            FILE.toml.
        input_shape (SHAPE): Shape of one input without the batch dimension, such as 3,32,32, if the network has to be
            run to see the weights that its own code multiplies by. Default: as for `driftproof convert`.
        times (TIMES): Times after the first read at which the chip is read, separated by commas.
        chips (N): Number of chips. Several are written into one folder each.
        file_format (FORMAT): Format of the files: npz, or csv (one row per weight and time, for a spreadsheet).
        seed: Seed of the simulated chips.

    Example:
        driftproof presets template digits-cnn --preset pcm-hermes-2 --out my_chips
    """
    import torch

    from driftproof._chip import Chip
    from driftproof._cli.convert import shape_of_input
    from driftproof._device_choice import load_device
    from driftproof._files import make_folder, write_atomically
    from driftproof.measured import save_conductances

    if chips < 1:
        raise DriftproofError(f"--chips {chips}: wanted at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DriftproofError(f"--out {out} is not empty; choose a new folder")
    device, loaded = load_device(preset), network.load_trained()
    shape = shape_of_input(input_shape, network.model, loaded.model, tiles.all_analog)
    mapping = tiles.options().map(loaded.model, None if shape is None else torch.zeros(1, *shape))
    for number in range(chips):
        folder = out if chips == 1 else make_folder(out) / f"chip{number + 1}"
        chip = Chip(mapping, device, seed=seed, chip=number)
        save_conductances(chip, folder, times, name=out.name, file_format=cast(Any, file_format))
        if chips > 1:  # one for all chips
            (folder / SETTINGS).replace(out / SETTINGS)
    if chips > 1:
        settings = (out / SETTINGS).read_text(encoding="utf-8")
        said = f"chip {chips - 1} of {device.name}", f"chips 0 to {chips - 1} of {device.name}"
        write_atomically(out / SETTINGS, settings.replace(*said).encode())
    layers = f"{len(mapping.weights)} layer{'s' * (len(mapping.weights) > 1)}"
    print_line(f"{out}: {chips} chip{'s' * (chips > 1)}, {layers}, simulated: replace the numbers by measured ones")
    print_line(f"then: {_evaluation(network, tiles, out, times)}")


def _evaluation(network: NetworkOptions, tiles: TileOptions, out: Path, times: str) -> str:
    """Return the command that evaluates the network on the chips, with the same weights and mapping."""
    words = ["driftproof", "evaluate", network.model, "--data", "DATA", "--preset", f"measured:{out}", "--times", times]
    words += [] if network.weights is None else ["--weights", str(network.weights)]
    usual = type(tiles)()
    for name in tiles.axes:
        if (value := getattr(tiles, name)) != getattr(usual, name):
            words += [f"--{name}", str(value)]
    return shlex.join([*words, "--out", f"{out}-report"])

"""What was taken over, as files for the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from driftproof._errors import DriftproofError
from driftproof._files import make_folder, write_toml
from driftproof.periphery import write_periphery
from driftproof.zoo import save_weights

if TYPE_CHECKING:
    from driftproof._from_aihwkit.found import FromAihwkit

DEVICE, PERIPHERY, WEIGHTS = "device.toml", "periphery.toml", "weights.safetensors"


def write_files(found: FromAihwkit, folder: Path) -> str:
    """Write device, periphery with its input ranges, and weights; return the command that evaluates them.

    Raises:
        DriftproofError: The folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DriftproofError(f"{folder} is not empty; choose a new folder")
    make_folder(folder)
    words = ["driftproof", "evaluate", "MODEL", "--data", "DATA"]
    if found.network is not None:
        save_weights(found.network, folder / WEIGHTS)
        words += ["--weights", str(folder / WEIGHTS)]
    if found.device is None:
        words += ["--preset", "DEVICE"]
    else:
        words += ["--preset", str(write_toml(folder / DEVICE, found.device.definition()))]
    if (mapping := found.mapping) is not None:
        words += ["--tile", f"{mapping.tile.rows}x{mapping.tile.columns}", "--scale", mapping.scale]
        if mapping.where is not None:
            assert not callable(mapping.where), "an imported mapping names its layers"
            words += ["--where", ",".join(mapping.where)]
    if found.compensation is not None:
        words += ["--compensation", found.compensation]
    if (periphery := found.periphery) is not None and not periphery.is_ideal:
        if found.ranges:
            periphery = periphery.with_ranges(found.ranges)
        words += ["--periphery", str(write_periphery(periphery, folder / PERIPHERY))]
        words += ["--backend", "tiles"] if periphery.ir_drop is not None else []
    return shlex.join([*words, "--out", str(folder / "report")])

"""Is the installed pair of aihwkit and torch sound? The wrong pair imports, and fails inside the compiled tiles."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

import torch

_PAIRS = "aihwkit 1.2 goes with torch 2.13 or newer, aihwkit 1.1 with torch 2.9 to 2.12"


@dataclass(frozen=True)
class Health:
    """What was found out by running tiles.

    Attributes:
        torch: version.
        aihwkit: version, or "" if it is not installed.
        torch_tile: "" if aihwkit's torch-based tile works, else what went wrong.
        compiled_tile: the same for aihwkit's compiled tile.
        advice: what to install, or "" if all is well.
    """

    torch: str
    aihwkit: str
    torch_tile: str
    compiled_tile: str
    advice: str


def check_installation() -> Health:
    """Run one product on each kind of aihwkit tile and say what works.

    >>> check_installation().torch == torch.__version__
    True
    """
    try:
        version = metadata.version("aihwkit")
    except metadata.PackageNotFoundError:
        return Health(torch.__version__, "", "not installed", "not installed", f"pip install aihwkit ({_PAIRS})")
    torch_tile, compiled_tile = _try_tile("TorchInferenceRPUConfig"), _try_tile("InferenceRPUConfig")
    advice = ""
    if torch_tile or compiled_tile:
        wanted = "aihwkit==1.2.0" if _torch_version() >= (2, 13) else "aihwkit==1.1.0"
        advice = (
            f"aihwkit {version} and torch {torch.__version__} do not work together: {_PAIRS}. "
            f"With this torch: pip install {wanted}"
        )
    return Health(torch.__version__, version, torch_tile, compiled_tile, advice)


def _torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def _try_tile(config_name: str) -> str:
    """Return "" if a 4 x 3 layer on this kind of tile multiplies and is programmed, else the error."""
    try:
        from aihwkit.nn import AnalogLinear
        from aihwkit.simulator import configs

        config = getattr(configs, config_name)()
        config.forward.is_perfect = True
        weight = torch.linspace(-1, 1, 12).reshape(3, 4)
        layer = AnalogLinear(4, 3, bias=False, rpu_config=config).eval()
        layer.set_weights(weight, None)
        with torch.no_grad():
            out = layer(torch.ones(2, 4))
        wrong = float((out - weight.sum(dim=1)).abs().max())
        if not wrong < 1e-4:
            return f"its product is off by {wrong:.3g}"
        for tile in layer.analog_tiles():
            tile.program_weights()
    except Exception as error:
        # whatever it is: the question is whether the tile works, and the answer goes to the user in full
        # (its first line: torch appends the C++ stack)
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""

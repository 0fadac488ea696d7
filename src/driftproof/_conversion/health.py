"""Check the installed pair of aihwkit and torch: a wrong pair imports, but fails inside the compiled tiles."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import metadata

import torch

from driftproof._random_state import random_state_kept

_PAIRS = "aihwkit 1.2 goes with torch 2.13 or newer, aihwkit 1.1 with torch 2.9 to 2.12"


@dataclass(frozen=True)
class Health:
    """The state of the installation.

    Attributes:
        torch: Version of torch.
        aihwkit: Version of aihwkit; empty if it is not installed.
        torch_tile: The error of aihwkit's torch-based tile; empty if it works.
        compiled_tile: The error of aihwkit's compiled tile; empty if it works.
        advice: What to install; empty if both tiles work.
    """

    torch: str
    aihwkit: str
    torch_tile: str
    compiled_tile: str
    advice: str


def is_aihwkit_installed() -> bool:
    """Return whether aihwkit is there to import. Whether it works is for :func:`check_installation`.

    >>> is_aihwkit_installed()
    True
    """
    return importlib.util.find_spec("aihwkit") is not None


@random_state_kept()
def check_installation() -> Health:
    """Run one MVM on each kind of aihwkit tile and return which of them work.

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
        torch_version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
        wanted = "aihwkit==1.2.0" if torch_version >= (2, 13) else "aihwkit==1.1.0"
        advice = (
            f"aihwkit {version} and torch {torch.__version__} do not work together: {_PAIRS}. "
            f"With this torch: pip install {wanted}"
        )
    return Health(torch.__version__, version, torch_tile, compiled_tile, advice)


def _try_tile(config_name: str) -> str:
    """Multiply by a 4 x 3 layer on this kind of tile, and program it; return the error, empty if there is none."""
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
            return f"its MVM is off by {wrong:.3g}"
        for tile in layer.analog_tiles():
            tile.program_weights()
    except Exception as error:
        if _interrupted(error):
            raise KeyboardInterrupt from error
        # any error means that the tile does not work; the user gets its first line (torch appends the C++ stack)
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


def _interrupted(error: BaseException | None) -> bool:
    """Return whether an error is what compiled code made of Ctrl-C, as an import does that it reaches."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None

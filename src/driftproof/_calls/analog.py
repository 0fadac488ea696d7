"""Networks and files of weights that are analog already: refused by name. aihwkit is not imported."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from driftproof._errors import DriftproofError

_TILES = "aihwkit.simulator.tiles"
_ENTRIES = ("analog_module", "analog_tile", "analog_ctx")
"""Parts of names by which aihwkit's layers keep their tiles in a state dict."""
_SHOWN = 4


def check_digital(network: nn.Module) -> None:
    """Raise DriftproofError for a network that is analog already, wholly or in part.

    aihwkit's tiles have noise, converters and drift of their own, which would be taken for the digital network's.
    aihwkit's modules without tiles, such as an LSTM after ``convert_to_digital``, are a network's code like any other.
    """
    check_network(network)
    held = [path for path, module in network.named_modules() if is_tile(module)]
    if not held:
        return
    # the layer that a user knows stands above aihwkit's module of the tile
    layers = list(dict.fromkeys(path.partition(".analog_module")[0] for path in held))
    shown = [f"{path or 'the network'} ({type(network.get_submodule(path)).__name__})" for path in layers[:_SHOWN]]
    more = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    raise DriftproofError(
        f"the network {type(network).__name__} is on analog tiles already: {', '.join(shown)}{more}. Give the digital "
        "network: the one that was given to driftproof.convert, or, of one of aihwkit's, "
        "driftproof.from_aihwkit(network).network, which comes with the device and the settings of its configuration "
        "(aihwkit.nn.conversion.convert_to_digital(network) is the network alone). To train, train the digital network "
        "(the noise is drawn from the same device), then convert it"
    )


def check_network(network: object) -> None:
    """Raise DriftproofError for anything that is no network.

    >>> check_network(3)
    Traceback (most recent call last):
    driftproof.DriftproofError: network: a int came; wanted a torch.nn.Module
    """
    if not isinstance(network, nn.Module):
        inner = next((name for name in ("network", "model") if isinstance(getattr(network, name, None), nn.Module)), "")
        way = f": give its .{inner}" if inner else ""
        raise DriftproofError(f"network: a {type(network).__name__} came; wanted a torch.nn.Module{way}")


def is_tile(module: nn.Module) -> bool:
    """Whether a module is one of aihwkit's tiles, or an array of them."""
    return any(kind.__module__.startswith(_TILES) for kind in type(module).__mro__)


def check_digital_weights(names: Iterable[str], file: object) -> None:
    """Raise DriftproofError if a state dict with these names is one of an analog network.

    >>> check_digital_weights(["0.weight", "0.bias"], "weights.pt")
    """
    found = [name for name in names if any(part.startswith(_ENTRIES) for part in str(name).split("."))]
    if found:
        raise DriftproofError(f"weights {file}: {', '.join(found[:_SHOWN])} {ANALOG_WEIGHTS}")


ANALOG_WEIGHTS = (
    "belong to layers on aihwkit's tiles: these are the weights of a network that is analog already. Make them digital "
    "in Python: found = driftproof.from_aihwkit(FILE, network), with the digital network, or the analog one that was "
    "saved (a file of a whole network needs none); then driftproof.zoo.save_weights(found.network, "
    "'weights.safetensors'). aihwkit's own way is convert_to_digital(network).state_dict()"
)
"""What is said of a file of weights of an analog network, after the names of its entries."""

"""A network of plain aihwkit layers, with aihwkit's noise model instead of ours, for further work in aihwkit."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from driftproof._behaviour import check_function, fresh
from driftproof._conversion.analog_model import AnalogModel
from driftproof._conversion.digital import digital_network
from driftproof._conversion.tiles import check_dtype, scaled_by_column
from driftproof._defaults import SCALE
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs
from driftproof._keywords import checks_keywords
from driftproof._mapping import LayerEntry, MappedWeight, TileSize, Where, map_plain, plain_copy
from driftproof._mapping.places import as_torch_made_it, count_places
from driftproof._random_state import random_state_kept


@dataclass(frozen=True)
class AihwkitNetwork:
    """A network of aihwkit's layers.

    Attributes:
        model: The network in eval mode, without any part of driftproof.
        layers: One entry per weight: analog (aihwkit's), or digital and the reason.
    """

    model: nn.Module
    layers: tuple[LayerEntry, ...]

    @property
    def digital(self) -> dict[str, str]:
        """The layers that stay digital: name → reason."""
        return {entry.name: entry.reason for entry in self.layers if entry.shape and not entry.analog}


@checks_keywords
@random_state_kept()
def to_aihwkit(
    model: nn.Module | AnalogModel, rpu_config: Any = None, *, example: Inputs | None = None, where: Where | None = None
) -> AihwkitNetwork:
    """Return a copy of a network with aihwkit's layers and aihwkit's noise model, drift compensation and converters.

    The weights are those of the network, neither programmed nor perturbed; ``program_analog_weights`` and
    ``drift_analog_weights`` of the returned model are aihwkit's. docs/aihwkit.md lists where its numbers differ from
    driftproof's. aihwkit saves its layers with pickle; saving them is left to the user.

    Args:
        model: A trained network, or a converted one. A converted one keeps its choice of layers and its tile size.
        rpu_config: aihwkit's configuration, used unchanged (default: ``TorchInferenceRPUConfig()`` with PCM, global
            drift compensation and noisy converters, and with weights scaled column by column to the whole conductance
            range, unlike aihwkit's default).
        example: Inputs to watch a network with. Without them, only layers of torch's classes are converted.
        where: Layers to convert, as for :func:`driftproof.convert` (default: all).

    Raises:
        DriftproofError: If aihwkit is missing, if it has no layer for any part of the network, if ``example`` or
            ``where`` is given with a converted network, or if the network keeps something between calls or is random.

    >>> network = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Conv1d(1, 2, 3, groups=1))
    >>> made = to_aihwkit(network)
    >>> type(made.model[0]).__name__, list(made.digital)
    ('AnalogLinear', ['2'])
    """
    if isinstance(model, AnalogModel):
        if example is not None or where is not None:
            raise DriftproofError("to_aihwkit: give example and where to convert; this network is already converted")
        network, mapping = digital_network(model), model.mapping
    elif isinstance(model, nn.Module):
        network = plain_copy(model)
        unused = fresh(network)
        mapping = map_plain(network, None, example, where=where, scale=SCALE, clip=None, all_analog=False)
        if example is not None:
            check_function(unused, network, example)
    else:
        raise DriftproofError(f"to_aihwkit: wanted a network, or the result of convert, got a {type(model).__name__}")
    config = _default_config(mapping.tile) if rpu_config is None else rpu_config
    entries = []
    for entry in mapping.layers:
        mapped = mapping.weights.get(entry.name)
        if entry.analog and mapped is not None:
            entry, network = _exported(entry, mapped, network, config)
        elif entry.analog:  # on another layer's array
            entry = replace(entry, analog=False, reason=_SHARED)
        entries.append(entry)
    if not any(entry.analog for entry in entries):
        listed = "; ".join(map(str, entries))
        raise DriftproofError(f"aihwkit has no layer for any part of this network. The network has: {listed}")
    return AihwkitNetwork(_wrapped(network), tuple(entries))


_SHARED = "its weight is used at several places: each of aihwkit's layers has its own weight"


def _default_config(tile: TileSize) -> Any:
    try:
        from aihwkit.simulator.configs import TorchInferenceRPUConfig
    except ImportError as error:
        raise DriftproofError(f"aihwkit does not import: {error}. Install it (pip install aihwkit)") from error
    return scaled_by_column(TorchInferenceRPUConfig(), tile)


def _exported(entry: LayerEntry, mapped: MappedWeight, network: nn.Module, config: Any) -> tuple[LayerEntry, nn.Module]:
    """Put aihwkit's layer into the network if there is one; return the entry of the layer, and the network."""
    layer = network.get_submodule(mapped.path)
    analog, reason = None, _why_not(layer, mapped, network)
    if not reason:
        check_dtype(mapped, layer.get_parameter("weight"))
        analog, reason = _aihwkit_layer(layer, config)
    if analog is None:
        return replace(entry, analog=False, reason=reason, tiles=0, utilisation=None), network
    tiles = len(list(analog.analog_tiles()))
    entry = replace(entry, tiles=tiles, utilisation=None, dac_per_input=None, adc_per_input=None)
    if not mapped.path:
        return entry, analog
    network.set_submodule(mapped.path, analog)
    return entry, network


def _why_not(layer: nn.Module, mapped: MappedWeight, network: nn.Module) -> str:
    """Return why aihwkit's layers cannot replace this layer; empty if they can."""
    if type(layer) not in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return f"aihwkit has no layer for {type(layer).__name__}"
    if not as_torch_made_it(layer):
        return "it has a hook or a forward of its own, which aihwkit's layer would not run"
    if mapped.aliases or count_places(layer, network) > 1:
        return _SHARED
    if mapped.made:
        return "the network's code makes another weight of it at every call"
    others = sorted({*mapped.modules, *mapped.readers} - {mapped.path})
    parent = mapped.path.rpartition(".")[0]
    if mapped.path and isinstance(network.get_submodule(parent), nn.TransformerEncoderLayer):
        others = [parent]  # it reads the weight to decide on torch's fused kernel, but not while a network is watched
    if others:
        return f"{others[0] or 'the network'} reads its weight: aihwkit's layers have none to read"
    if isinstance(getattr(layer, "padding", None), str):
        return f"aihwkit's convolutions want their padding in numbers, not {layer.padding!r}"
    return ""


def _aihwkit_layer(layer: nn.Module, config: Any) -> tuple[Any, str]:
    """Return aihwkit's layer, or None and aihwkit's reason."""
    from aihwkit import nn as analog_nn

    kind = getattr(analog_nn, f"Analog{type(layer).__name__}")
    try:
        analog = kind.from_digital(layer, copy.deepcopy(config))
    except ValueError as error:  # aihwkit's convolutions refuse unsupported settings
        return None, f"aihwkit's {kind.__name__}: {error}"
    if getattr(analog, "NEEDS_INDEXED", False) and not analog.use_indexed:
        return None, (
            f"aihwkit's {kind.__name__} runs on a single compiled tile only: give InferenceRPUConfig(), and a "
            "mapping.max_input_size that is large enough"
        )
    return analog, ""


def _wrapped(network: nn.Module) -> nn.Module:
    """Return the network with aihwkit's methods of a whole network, as aihwkit's conversion does."""
    from aihwkit.nn.modules.base import AnalogLayerBase
    from aihwkit.nn.modules.container import AnalogWrapper

    if isinstance(network, AnalogLayerBase):
        return network  # type: ignore[no-any-return]
    # aihwkit looks classes up by name: a second class of the same name would get the first one's forward
    known = AnalogWrapper.SUBCLASSES.get(f"{AnalogWrapper.__name__}{type(network).__name__}")
    if known is not None and type(network) not in known.__bases__:
        del AnalogWrapper.SUBCLASSES[known.__name__]
    wrapped: nn.Module = AnalogWrapper(network)
    return wrapped

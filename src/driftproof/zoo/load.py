"""Models by name, as the command line takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from driftproof.data.user_file import call_user_file, is_user_file
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.zoo.digits_cnn import digits_cnn, trained_digits_cnn
from driftproof.zoo.resnet_cifar import resnet20, resnet32, resnet44, resnet56
from driftproof.zoo.weights import load_weights

UNTRAINED: dict[str, Callable[[], nn.Module]] = {
    "digits-cnn": digits_cnn,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
}
POSSIBLE = f"{', '.join(UNTRAINED)}, torchvision:NAME, file.py:callable"
RESERVED = ("timm", "hf")


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in eval mode, the name that a record gives it, and whether its weights mean anything."""

    name: str
    model: nn.Module
    trained: bool


def load_model(spec: str, weights: str | Path | None = None) -> LoadedModel:
    """Return the model a command line names, in eval mode.

    Args:
        spec: ``digits-cnn`` (trained on the spot if no weights are given), ``resnet20``, ``32``, ``44``, ``56``,
            ``torchvision:NAME`` (both untrained if no weights are given), or ``file.py:callable``, a function without
            arguments that returns an ``nn.Module`` (taken as trained: the file's author decides).
        weights: a file for :func:`load_weights`.

    Raises:
        DriftproofError: unknown name; weights that do not fit; a user's file that cannot be loaded, or whose
            function fails or returns something else.

    >>> load_model("resnet20").trained
    False
    """
    if is_user_file(spec):
        name, model = call_user_file(spec)
        if not isinstance(model, nn.Module):
            hint = "; return an instance, not the class" if inspect.isclass(model) else ""
            raise DriftproofError(f"{name} returned {_kind(model)}; wanted a torch.nn.Module{hint}")
        trained = True
    elif spec == "digits-cnn" and weights is None:
        name, model, trained = spec, trained_digits_cnn(), True
    elif spec in UNTRAINED:
        name, model, trained = spec, UNTRAINED[spec](), weights is not None
    elif spec.startswith("torchvision:"):
        name, model, trained = spec, _from_torchvision(spec.removeprefix("torchvision:")), weights is not None
    else:
        raise _unknown(spec)
    if weights is not None:
        load_weights(model, weights)
    model.eval()
    return LoadedModel(name=name, model=model, trained=trained)


def _from_torchvision(name: str) -> nn.Module:
    from torchvision import models

    known = models.list_models()
    if name not in known:
        raise DriftproofError(
            f"model 'torchvision:{name}': torchvision has no model {name!r}{did_you_mean(name, known)}; "
            f"torchvision.models.list_models() lists all {len(known)}"
        )
    # Detection and segmentation models would otherwise download weights for their backbone.
    backbone = inspect.signature(models.get_model_builder(name)).parameters.get("weights_backbone")
    model: nn.Module = models.get_model(name, weights=None, **({} if backbone is None else {"weights_backbone": None}))
    return model


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _unknown(spec: str) -> DriftproofError:
    kind = spec.partition(":")[0]
    if kind in RESERVED and ":" in spec:
        return DriftproofError(
            f"model {spec!r}: {kind}: is not available yet; wrap the model in a file.py:callable that returns it"
        )
    from torchvision import models

    if spec in models.list_models():
        return DriftproofError(f"unknown model {spec!r} (did you mean torchvision:{spec}?); wanted one of: {POSSIBLE}")
    hint = did_you_mean(spec, [*UNTRAINED, "torchvision:NAME"])
    return DriftproofError(f"unknown model {spec!r}{hint}; wanted one of: {POSSIBLE}")

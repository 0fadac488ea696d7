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
from driftproof.zoo.outside import from_hugging_face, from_timm, from_torchvision
from driftproof.zoo.resnet_cifar import resnet20, resnet32, resnet44, resnet56
from driftproof.zoo.weights import load_weights

UNTRAINED: dict[str, Callable[[], nn.Module]] = {
    "digits-cnn": digits_cnn,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
}
POSSIBLE = f"{', '.join(UNTRAINED)}, torchvision:NAME, timm:NAME, hf:DIR, file.py:callable"


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in eval mode, the name that a record gives it, and whether its weights mean anything."""

    name: str
    model: nn.Module
    trained: bool


def load_model(spec: str, weights: str | Path | None = None) -> LoadedModel:
    """Return the model a command line names, in eval mode.

    Args:
        spec: ``digits-cnn`` (trained if no weights are given), ``resnet20``, ``32``, ``44``, ``56``,
            ``torchvision:NAME``, ``timm:NAME`` (untrained if no weights are given), ``hf:DIR``, a local folder of
            Hugging Face's layout (trained if weights are in it), or ``file.py:callable``, a function without arguments
            that returns an ``nn.Module`` (taken as trained: the file's author decides). Nothing is downloaded.
        weights: a file for :func:`load_weights`.

    Raises:
        DriftproofError: unknown name; an extra that is not installed; weights that do not fit; a user's file that
            cannot be loaded, or whose function fails or returns something else.

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
        name, model, trained = spec, from_torchvision(spec.removeprefix("torchvision:")), weights is not None
    elif spec.startswith("timm:"):
        name, model, trained = spec, from_timm(spec.removeprefix("timm:")), weights is not None
    elif spec.startswith("hf:"):
        folder = Path(spec.removeprefix("hf:")).expanduser()
        model, trained = from_hugging_face(folder, with_weights=weights is None)
        name, trained = f"hf:{folder.resolve().name}", trained or weights is not None
    else:
        raise _unknown(spec)
    if weights is not None:
        load_weights(model, weights)
    model.eval()
    return LoadedModel(name=name, model=model, trained=trained)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _unknown(spec: str) -> DriftproofError:
    from torchvision import models

    if spec in models.list_models():
        return DriftproofError(f"unknown model {spec!r} (did you mean torchvision:{spec}?); wanted one of: {POSSIBLE}")
    hint = did_you_mean(spec, [*UNTRAINED, "torchvision:NAME", "timm:NAME", "hf:DIR"])
    return DriftproofError(f"unknown model {spec!r}{hint}; wanted one of: {POSSIBLE}")

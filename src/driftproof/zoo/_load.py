"""Models by name, as on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from driftproof._errors import DriftproofError, did_you_mean
from driftproof.data._user_file import call_user_file, is_user_file
from driftproof.zoo._digits_cnn import digits_cnn, trained_digits_cnn
from driftproof.zoo._digits_resnet import digits_resnet, trained_digits_resnet
from driftproof.zoo._hopfield_names import KINDS as HOPFIELD
from driftproof.zoo._hopfield_names import hopfield_named
from driftproof.zoo._outside import from_hugging_face, from_timm, from_torchvision
from driftproof.zoo._resnet_cifar import resnet20, resnet32, resnet44, resnet56
from driftproof.zoo._weights import load_weights

UNTRAINED: dict[str, Callable[[], nn.Module]] = {
    "digits-cnn": digits_cnn,
    "digits-resnet": digits_resnet,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
}
TRAINED: dict[str, Callable[[], nn.Module]] = {"digits-cnn": trained_digits_cnn, "digits-resnet": trained_digits_resnet}
"""Networks whose trained weights come with driftproof."""
POSSIBLE = (
    f"{', '.join(UNTRAINED)}, hopfield-dense:SIZES, dchn:KEY=VALUE, torchvision:NAME, timm:NAME, hf:DIR, "
    "file.py:callable; NAME:num_classes=N is another head"
)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in eval mode, its name in records, and whether it is trained."""

    name: str
    model: nn.Module
    trained: bool


def load_model(spec: str, weights: str | Path | None = None) -> LoadedModel:
    """Return a model by name, as on the command line, in eval mode. Nothing is downloaded.

    Args:
        spec: Name of the model. ``digits-cnn`` and ``digits-resnet`` are trained if no weights are given. ``resnet20``,
            ``resnet32``, ``resnet44``, ``resnet56``, ``torchvision:NAME`` and ``timm:NAME`` are untrained if no weights
            are given; ``NAME:num_classes=N`` gives the last two a head of another size, such as that of fine-tuned
            weights. ``hopfield-dense:64-128-10`` is a Hopfield network of these sizes, untrained if no weights are
            given, ``dchn:widths=16-32,image=1x32,classes=10,pool=max`` a convolutional one; ``iterations=15``,
            ``tolerance=1e-4``, ``order=synchronous``, ``gain=0.4-0.7-0.6`` and ``backpropagated=15`` are further keys,
            and without a colon the sizes are those of :func:`driftproof.energy.hopfield_dense` and
            :func:`driftproof.energy.dchn`. ``hf:DIR`` is a local folder in Hugging Face's layout, trained if it
            contains weights. ``file.py:callable`` is a function without arguments that returns an ``nn.Module``, which
            is taken as trained.
        weights: File of weights in ``.safetensors``, ``.pt``, ``.pth``, ``.th``, ``.pth.tar`` or ``.ckpt`` (Lightning)
            format (default: none).

    Raises:
        DriftproofError: the name is unknown; an extra is not installed; weights do not fit; a user's file cannot be
            loaded, or its function fails or returns something else.

    >>> load_model("resnet20").trained
    False
    """
    name, trained = spec, False
    package, colon, rest = spec.partition(":")
    if is_user_file(spec):
        name, model = call_user_file(spec)
        if not isinstance(model, nn.Module):
            hint = "; return an instance, not the class" if isinstance(model, type) else ""
            returned = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
            raise DriftproofError(f"{name} returned {returned}; wanted a torch.nn.Module{hint}")
        trained = True
    elif spec in TRAINED and weights is None:
        model, trained = TRAINED[spec](), True
    elif spec in UNTRAINED:
        model = UNTRAINED[spec]()
    elif package in HOPFIELD:
        model = hopfield_named(spec)
    elif package == "torchvision" and colon:
        model = from_torchvision(rest)
    elif package == "timm" and colon:
        model = from_timm(rest)
    elif package == "hf" and colon:
        folder = Path(rest).expanduser()
        name = f"hf:{folder.resolve().name}"
        model, trained = from_hugging_face(folder, with_weights=weights is None)
    else:
        raise _unknown(spec)
    if weights is not None:
        load_weights(model, weights)
    return LoadedModel(name=name, model=model.eval(), trained=trained or weights is not None)


def _unknown(spec: str) -> DriftproofError:
    from torchvision import models

    hint = did_you_mean(spec.partition(":")[0], HOPFIELD)
    hint = hint or did_you_mean(spec, [*UNTRAINED, "torchvision:NAME", "timm:NAME", "hf:DIR"])
    if spec in models.list_models():
        hint = f" (did you mean torchvision:{spec}?)"
    return DriftproofError(f"unknown model {spec!r}{hint}; wanted one of: {POSSIBLE}")

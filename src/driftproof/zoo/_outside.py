"""Networks of other packages: ``torchvision:NAME``, ``timm:NAME`` and ``hf:DIR``. Nothing is downloaded."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from driftproof._errors import DriftproofError, did_you_mean, foreign_code, warn
from driftproof.zoo._weights import PICKLES, SAFETENSORS, some

CONFIG = "config.json"
CLASSES = "num_classes"
"""What a spec may say after the name of a network of torchvision or timm."""
ADAPTER = "adapter_config.json"


def from_torchvision(text: str) -> nn.Module:
    """Return an untrained network of torchvision, by its name and, after a colon, its number of classes.

    Raises:
        DriftproofError: torchvision has no model of this name, or it takes no number of classes.
    """
    from torchvision import models

    name, size = _with_classes("torchvision", text)

    _check_known(name, "torchvision", models.list_models(), "torchvision.models.list_models()")
    # Detection and segmentation models would otherwise download weights for their backbone.
    backbone = inspect.signature(models.get_model_builder(name)).parameters.get("weights_backbone")
    size |= {} if backbone is None else {"weights_backbone": None}
    return _built("torchvision", text, lambda: models.get_model(name, weights=None, **size))


def from_timm(text: str) -> nn.Module:
    """Return an untrained network of timm, by its name in ``timm.list_models()`` and its number of classes.

    Raises:
        DriftproofError: timm is not installed, or has no model of this name; or it takes no number of classes.
    """
    timm = _extra("timm", f"timm:{text}")
    name, size = _with_classes("timm", text)
    # Other names, such as hf-hub:..., would ask a server.
    tags = ". Names have no tag such as .in1k: weights are given with --weights"
    _check_known(name, "timm", timm.list_models(), "timm.list_models()", tags)
    return _built("timm", text, lambda: timm.create_model(name, pretrained=False, **size))


def _with_classes(package: str, text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of a text ``NAME`` or ``NAME:num_classes=N``.

    >>> _with_classes("timm", "resnet18:num_classes=10")
    ('resnet18', {'num_classes': 10})
    """
    name, colon, rest = text.partition(":")
    if not colon or not rest.startswith(f"{CLASSES}="):  # timm's names of servers have colons too: they are refused
        return text, {}
    number = rest.removeprefix(f"{CLASSES}=")
    if not (number.isdecimal() and int(number)):
        raise DriftproofError(f"model '{package}:{text}': {CLASSES}={number}: wanted a whole number above 0")
    return name, {CLASSES: int(number)}


def _built(package: str, text: str, build: Callable[[], Any]) -> nn.Module:
    """Return the network of a package, whose builder may refuse the number of classes."""
    with foreign_code(f"model '{package}:{text}': {package} raised"):
        model: nn.Module = build()
    return model


def _check_known(name: str, package: str, known: list[str], listing: str, hint: str = "") -> None:
    if name not in known:
        raise DriftproofError(
            f"model '{package}:{name}': {package} has no model {name!r}{did_you_mean(name, known)}; "
            f"{listing} lists all {len(known)}{hint}"
        )


def from_hugging_face(folder: Path, with_weights: bool) -> tuple[nn.Module, bool]:
    """Return the network of a folder in Hugging Face's layout, in float32, and whether it has the folder's weights.

    The class is the first of ``architectures`` in ``config.json`` and is taken from the transformers package: code in
    the folder is not run. Weights are read from ``model.safetensors`` (or its parts), never from a pickle.

    Args:
        folder: Folder with ``config.json``, as ``save_pretrained`` writes it.
        with_weights: Whether to read the weights of the folder; if False, the network is untrained.

    Raises:
        DriftproofError: transformers is not installed, or does not have the class; there is no such folder; the weights
            are pickles, quantised, an adapter, incomplete, of other shapes or NaN.
    """
    spec = f"hf:{folder}"
    if not (folder / CONFIG).is_file():
        raise DriftproofError(
            f"model {spec!r}: no {CONFIG} in {folder.resolve()}; wanted a local folder that save_pretrained wrote, "
            "nothing is downloaded"
        )
    transformers = _extra("transformers", spec)
    kind = _architecture(transformers, folder, spec)
    try:
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # a damaged or unknown configuration may raise any exception
        raise _unreadable(spec, error) from error
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in (*PICKLES, ".bin"))
    safe = sorted(path.name for path in folder.glob(f"model*{SAFETENSORS}"))
    if with_weights and not safe and pickles:
        raise DriftproofError(
            f"model {spec!r}: its weights are pickles ({some(pickles)}), which can run code; where you trust them, "
            f"load them there and write {SAFETENSORS} with save_pretrained(folder)"
        )
    try:
        with quiet_and_offline():
            if not with_weights or not safe:
                return kind(config).float(), False
            safely = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
            report = {"ignore_mismatched_sizes": True, "output_loading_info": True}  # _check_complete names them
            model, loaded = kind.from_pretrained(folder, config=config, **safely, **report)
    except Exception as error:  # files that do not fit may raise any exception
        raise _unreadable(spec, error) from error
    _check_complete(model, loaded, spec)
    return model.float(), True


def _architecture(transformers: ModuleType, folder: Path, spec: str) -> Any:
    """Return the class of transformers that the configuration names first."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        names = [str(name) for name in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _unreadable(spec, error) from error
    if not names:
        raise DriftproofError(f"model {spec!r}: {CONFIG} names no architectures; wanted the class that was saved")
    if (folder / ADAPTER).exists():
        raise DriftproofError(f"model {spec!r}: an adapter ({ADAPTER}) is there; merge it and save the whole network")
    if config.get("quantization_config"):
        raise DriftproofError(f"model {spec!r}: its weights are quantised; wanted weights in floating point")
    kind = getattr(transformers, names[0], None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        code = ", and code in the folder (auto_map) is never run" if config.get("auto_map") else ""
        raise DriftproofError(
            f"model {spec!r}: transformers {transformers.__version__} has no network {names[0]!r}{code}; "
            "install a version that has it, or return it from a file.py:callable"
        )
    return kind


def _check_complete(model: nn.Module, loaded: Any, spec: str) -> None:
    """Raise DriftproofError if weights are missing or NaN; warn of weights that the network does not use."""
    missing = sorted([*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])])
    if missing:
        raise DriftproofError(
            f"model {spec!r}: its files have no weights of the right shape for {some(missing)}, which would be random; "
            f"does {CONFIG} name the class that was saved?"
        )
    if loaded["unexpected_keys"]:
        names = some(sorted(map(str, loaded["unexpected_keys"])))
        warn(f"{spec}: {type(model).__name__} does not use {names}")
    bad = [name for name, value in model.state_dict().items() if bool(torch.isnan(value).any())]
    if bad:
        raise DriftproofError(f"model {spec!r}: NaN in {some(bad)}; are the files whole?")


@contextmanager
def quiet_and_offline() -> Iterator[None]:
    """Stop requests to Hugging Face's server, which some configurations make for a backbone, and print nothing."""
    logging: Any = importlib.import_module("transformers.utils.logging")
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _extra(package: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        extra = spec.partition(":")[0]
        raise DriftproofError(
            f"model {spec!r} needs {package}, which cannot be imported ({error}); run `pip install driftproof[{extra}]`"
        ) from error


def _unreadable(spec: str, error: Exception) -> DriftproofError:
    lines = str(error).strip().splitlines()
    return DriftproofError(
        f"model {spec!r} cannot be loaded ({type(error).__name__}: {lines[0] if lines else ''}); wanted a folder that "
        f"save_pretrained wrote, with {CONFIG} and model{SAFETENSORS}"
    )

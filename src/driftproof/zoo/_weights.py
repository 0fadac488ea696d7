"""Loading and saving weights of a model. If anything in a file does not fit, the model is not changed."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._calls.analog import ANALOG_WEIGHTS, check_digital, check_digital_weights
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._files import check_file, read_tensors, write_tensors
from driftproof._sparse import as_dense, in_layout_of
from driftproof.zoo._lightning import LIGHTNING, read_lightning, without_prefix

PICKLES = (".pt", ".pth", ".th", ".pth.tar", ".ckpt")
SAFETENSORS = ".safetensors"
SHOWN = 8

_WRAPPED_UNDER = ("state_dict", "model")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a file of weights into ``model``, in place. If anything does not fit, the model is not changed.

    ``.pt``, ``.pth``, ``.th``, ``.pth.tar`` and ``.ckpt`` files are read with ``weights_only=True`` (no code of the
    file is run), ``.safetensors`` files with safetensors. A dict under ``state_dict`` or ``model`` is unwrapped;
    ``module.`` at the beginning of names and ``_orig_mod.`` anywhere in them are removed. Of a ``.ckpt`` file of
    Lightning, the network is the part whose names end with the model's, such as ``model.fc.weight``; the prefix and the
    parts that are left are warned of, and hyper-parameters are not made, whatever their classes. Floating-point tensors
    are converted to the model's dtype. Names must match exactly, except for BatchNorm's counter
    ``num_batches_tracked``, which older files do not have.

    Raises:
        DriftproofError: the file is missing, cannot be read or contains more than tensors; names, shapes or kinds of
            number do not fit; values are NaN, or too large for the model's dtype; model or file are analog already.
    """
    path = Path(path).expanduser()
    check_digital(model)
    entries = _unwrapped(_read(path), path)
    if path.name.endswith(LIGHTNING):
        entries = without_prefix(entries, [_bare(name) for name in _tensors(model)], f"weights {path}")
    prepared = _fitted(model, entries, path)
    before = {name: value.clone() for name, value in _tensors(model).items()}
    try:
        model.load_state_dict(prepared, strict=False)  # `_fitted` has checked names and shapes
    except Exception as error:  # a module's loading hook may raise any exception, half-way
        for name, value in _tensors(model).items():
            value.copy_(before[name])
        raise DriftproofError(f"weights {path}: the model refused them: {error}") from error


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the model's weights and buffers as a ``.safetensors`` file, which holds tensors only.

    Raises:
        DriftproofError: the suffix is another one, or the folder does not exist.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != SAFETENSORS:
        raise DriftproofError(f"weights {path}: suffix {path.suffix!r}; wanted {SAFETENSORS}")
    if not path.parent.is_dir():
        raise DriftproofError(f"weights {path}: no folder {path.parent}; make it first")
    write_tensors(path, _tensors(model))


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DriftproofError(
            f"weights {path}: no such file; wanted a .pt, .pth, .th, .pth.tar, .ckpt or .safetensors file"
        )
    suffix = ".pth.tar" if path.name.lower().endswith(".pth.tar") else path.suffix.lower()
    if suffix == SAFETENSORS:
        return read_tensors(path, "weights ")
    if suffix not in PICKLES:
        known = [*PICKLES, SAFETENSORS]
        raise DriftproofError(
            f"weights {path}: suffix {path.suffix!r}{did_you_mean(suffix, known)}; wanted one of {', '.join(known)}"
        )
    try:
        file = check_file(path)
        if suffix == LIGHTNING:
            return read_lightning(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except DriftproofError:
        raise
    except pickle.UnpicklingError as error:
        if "aihwkit" in str(error):  # the class that torch refuses to make
            raise DriftproofError(f"weights {path}: entries of aihwkit's classes {ANALOG_WEIGHTS}") from error
        raise DriftproofError(
            f"weights {path}: not a file of plain weights. Only plain tensors are loaded, because anything else in "
            f"such a file can run code. If you trust the file, load it with torch and save the tensors alone: "
            f"torch.save(model.state_dict(), 'weights.pt'). (A network on aihwkit's tiles: driftproof.from_aihwkit)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise DriftproofError(
            f"weights {path}: the file cannot be read ({type(error).__name__}: {error}); is it complete, and was it "
            f"written by torch.save(model.state_dict(), ...)?"
        ) from error


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    """Return name → tensor from the dicts in which training scripts wrap it."""
    wanted = "wanted names → tensors, bare or under 'state_dict' or 'model'"
    inner = content
    while isinstance(inner, Mapping):
        under = next((key for key in _WRAPPED_UNDER if isinstance(inner.get(key), Mapping)), None)
        if under is None:
            break
        inner = inner[under]
    if not isinstance(inner, Mapping):
        raise DriftproofError(f"weights {path}: a {type(inner).__name__} came; {wanted}")
    check_digital_weights(inner, path)
    other = [f"{name} ({type(value).__name__})" for name, value in inner.items() if not isinstance(value, Tensor)]
    if other or not inner:
        has = f"has entries that are not tensors: {some(other)}" if other else "has no entries"
        raise DriftproofError(f"weights {path}: {has}; {wanted}: torch.save(model.state_dict(), 'weights.pt')")
    named: dict[str, Tensor] = {}
    for name, value in inner.items():
        short = _bare(str(name))
        if short in named:
            raise DriftproofError(
                f"weights {path}: two tensors are called {short!r} once wrappers' prefixes are dropped"
            )
        named[short] = value
    return named


def _fitted(model: nn.Module, entries: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return a complete new state for the model, or raise DriftproofError with everything that does not fit."""
    held = _tensors(model)
    # The model may be wrapped as well: its names lose the same prefixes, unless two names would become equal.
    names = {_bare(name): name for name in held}
    if len(names) != len(held):
        names = {name: name for name in held}
    problems: dict[str, list[str]] = {
        "missing": [s for s in names if s not in entries and not s.endswith("num_batches_tracked")],
        "unexpected": [name for name in entries if name not in names],
        "other shapes": [],
        "other kinds of number": [],
        "NaN, or too large for the model's dtype": [],
    }
    prepared = dict(held)
    for short in [name for name in entries if name in names]:
        value, target = entries[short], held[names[short]]
        if value.shape != target.shape:
            problems["other shapes"].append(f"{short} (file {list(value.shape)}, model {list(target.shape)})")
        elif value.dtype != target.dtype and not (value.dtype in _FLOATS and target.dtype in _FLOATS):
            problems["other kinds of number"].append(f"{short} (file {value.dtype}, model {target.dtype})")
        else:
            cast = value.detach().to(target.dtype)
            prepared[names[short]] = in_layout_of(cast, target)
            # An infinity in the file may be intended (attention masks); NaN and an overflow are not.
            cast, value = as_dense(cast), as_dense(value)
            if bool(cast.isnan().any()) or bool((cast.isinf() & ~value.isinf()).any()):
                problems["NaN, or too large for the model's dtype"].append(short)
    listed = [f"{len(some_names)} {kind}: {some(some_names)}" for kind, some_names in problems.items() if some_names]
    if listed:
        raise DriftproofError(
            f"weights {path} do not fit {type(model).__name__}, which is not changed. {'. '.join(listed)}. "
            f"Are these the weights of this network, with the same number of classes?{_head(entries, held, names)}"
        )
    return prepared


def _head(entries: Mapping[str, Tensor], held: Mapping[str, Tensor], names: Mapping[str, str]) -> str:
    """Return how to give the network another number of classes, if that is all that does not fit."""
    wrong = [(entries[s].shape, held[n].shape) for s, n in names.items() if s in entries]
    wrong = [(file, model) for file, model in wrong if file != model]
    sizes = {(file[0], model[0]) for file, model in wrong if file and model and file[1:] == model[1:]}
    if len(sizes) != 1 or any(file[1:] != model[1:] for file, model in wrong):
        return ""
    ((classes, others),) = sizes
    return (
        f" The file has a head of {classes} outputs, the model one of {others}: torchvision:NAME:num_classes={classes} "
        f"and timm:NAME:num_classes={classes} make such a model"
    )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _bare(name: str) -> str:
    """Return a name without the prefixes of wrappers.

    >>> _bare("module._orig_mod.conv1.weight")
    'conv1.weight'
    """
    name = name.replace("_orig_mod.", "")  # torch.compile, of the model or of a part of it
    while name.startswith("module."):  # DataParallel and DistributedDataParallel
        name = name.removeprefix("module.")
    return name


def some(names: Iterable[str]) -> str:
    """Return the first eight names and the number of others.

    >>> some(str(i) for i in range(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")

"""Data by name, as on the command line: ``digits``, ``cifar10:ROOT``, ``mnist:ROOT``, ``file.py:callable``."""

from __future__ import annotations

from collections.abc import Callable

from driftproof._errors import DriftproofError, did_you_mean
from driftproof.data._adapters import as_data, as_inputs
from driftproof.data._batched import Data
from driftproof.data._embedded import digits
from driftproof.data._image_files import PIXELS, SETS, images
from driftproof.data._user_file import call_user_file, is_user_file

POSSIBLE = (
    f"digits, {', '.join(f'{name}:ROOT' for name in SETS)} (ROOT is the folder that torchvision downloaded to), their "
    f"training splits digits-train, {', '.join(f'{name}-train:ROOT' for name in SETS)}, images that are not normalised "
    f"with {PIXELS} behind the name of a set (mnist{PIXELS}:ROOT, mnist{PIXELS}-train:ROOT), or file.py:callable"
)


def load_data(spec: str) -> Data:
    """Return data by name, as on the command line: a split of a known set, or the data of a user's function.

    Args:
        spec: Name of the data. ``digits``, ``cifar10:ROOT``, ``cifar100:ROOT``, ``mnist:ROOT``, ``fashion-mnist:ROOT``
            and ``svhn:ROOT`` are test splits, where ROOT is the folder that torchvision downloaded to. With ``-train``
            behind the name (``digits-train``, ``cifar10-train:ROOT``) they are training splits. Images are normalised;
            with ``-pixels`` behind the name of their set (``mnist-pixels:ROOT``, ``mnist-pixels-train:ROOT``) they are
            pixels from 0 to 1. ``file.py:callable`` is a function without arguments that returns data, such as a tuple
            (inputs, targets) or a torch Dataset.

    Raises:
        DriftproofError: the name is unknown; the folder is not given; files are missing or damaged; a user's file
            cannot be loaded, or its function fails or does not return data.

    >>> len(load_data("digits"))
    597
    """
    return _load(spec, as_data)


def load_inputs(spec: str) -> Data:
    """Return data by name whose targets nobody reads: a user's function may return inputs alone.

    Args:
        spec: Name of the data, as :func:`load_data` takes it.

    Raises:
        DriftproofError: As :func:`load_data`.
    """
    return _load(spec, as_inputs)


def _load(spec: str, convert: Callable[[object, str], Data]) -> Data:
    if is_user_file(spec):
        name, result = call_user_file(spec)
        try:
            return convert(result, name)
        except DriftproofError as error:
            raise DriftproofError(f"{name} did not return data: {error}") from error
    kind, colon, root = spec.partition(":")
    name, split = (kind.removesuffix("-train"), "train") if kind.endswith("-train") else (kind, "test")
    if name == "digits":
        if colon:
            raise DriftproofError(f"data {spec!r}: digits come with the installation and take no folder; use {kind}")
        return digits(split)
    if name.removesuffix(PIXELS) in SETS:
        if not root:
            raise DriftproofError(f"data {spec!r}: no folder; wanted {kind}:ROOT, the download folder of torchvision")
        return images(name, root, split)
    hint = did_you_mean(kind, ["digits", *SETS])
    raise DriftproofError(f"unknown data {spec!r}{hint}; wanted one of: {POSSIBLE}")

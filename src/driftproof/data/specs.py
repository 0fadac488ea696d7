"""Data by name, as the command line takes them: ``digits``, ``cifar10:ROOT``, ``mnist:ROOT``, ``file.py:callable``."""

from __future__ import annotations

from driftproof.data.adapters import as_data
from driftproof.data.batched import Data
from driftproof.data.embedded import digits
from driftproof.data.image_files import cifar10, mnist
from driftproof.data.user_file import call_user_file, is_user_file
from driftproof.errors import DriftproofError, did_you_mean

POSSIBLE = (
    "digits, cifar10:ROOT, mnist:ROOT (the folder torchvision downloads to), their training halves digits-train, "
    "cifar10-train:ROOT, mnist-train:ROOT, or file.py:callable"
)


def load_data(spec: str) -> Data:
    """Return the data a command line names: one split of a known set, or what a user's function returns.

    Args:
        spec: ``digits``; ``cifar10:ROOT`` or ``mnist:ROOT`` with the folder given to torchvision: the test split, or
            with ``-train`` behind the name (``cifar10-train:ROOT``) the training split; or ``file.py:callable``, a
            function without arguments that returns anything :func:`as_data` takes.

    Raises:
        DriftproofError: unknown name; folder missing where one is needed; files missing or damaged; a user's file
            that cannot be loaded, or whose function fails or returns something else.

    >>> len(load_data("digits"))
    597
    """
    if is_user_file(spec):
        name, result = call_user_file(spec)
        try:
            return as_data(result, name=name)
        except DriftproofError as error:
            raise DriftproofError(f"{name}: what it returned is no data: {error}") from error
    kind, colon, root = spec.partition(":")
    name, split = (kind.removesuffix("-train"), "train") if kind.endswith("-train") else (kind, "test")
    if name == "digits":
        if colon:
            raise DriftproofError(f"data {spec!r}: digits come with the installation and take no folder; use {kind}")
        return digits(split)
    if name in ("cifar10", "mnist"):
        if not root:
            raise DriftproofError(f"data {spec!r}: no folder; wanted {kind}:ROOT, the folder torchvision downloads to")
        return cifar10(root, split) if name == "cifar10" else mnist(root, split)
    hint = did_you_mean(kind, ["digits", "cifar10", "mnist"])
    raise DriftproofError(f"unknown data {spec!r}{hint}; wanted one of: {POSSIBLE}")

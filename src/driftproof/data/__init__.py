"""Data to evaluate on: one interface over tensors, datasets and loaders, and the sets that commands know by name."""

from driftproof.data.adapters import as_data
from driftproof.data.batched import Batch, Data, DatasetData, TensorData, hold
from driftproof.data.embedded import digits
from driftproof.data.image_files import cifar10, mnist
from driftproof.data.parts import halves, held_out, part, shared_samples
from driftproof.data.specs import load_data

__all__ = [
    # What an evaluation needs
    "Batch",
    "Data",
    "DatasetData",
    "TensorData",
    "hold",
    # From what you have
    "as_data",
    "load_data",
    # Cut apart
    "halves",
    "held_out",
    "part",
    "shared_samples",
    # Sets known by name
    "cifar10",
    "digits",
    "mnist",
]

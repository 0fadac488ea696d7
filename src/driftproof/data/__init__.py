"""Data to evaluate on: one interface to tensors, datasets and loaders, and data sets that commands know by name."""

from driftproof._old_paths import old_names
from driftproof.data._augmentation import CropFlip
from driftproof.data._batched import Data, TensorData
from driftproof.data._embedded import digits
from driftproof.data._image_files import cifar10, mnist
from driftproof.data._parts import part
from driftproof.data._specs import load_data

__all__ = ["CropFlip", "Data", "TensorData", "cifar10", "digits", "load_data", "mnist", "part"]

__getattr__ = old_names(__name__)

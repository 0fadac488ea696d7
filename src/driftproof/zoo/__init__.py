"""Known networks, and networks and weights from files."""

from driftproof._old_paths import old_names
from driftproof.zoo._digits_cnn import digits_cnn, trained_digits_cnn
from driftproof.zoo._digits_resnet import digits_resnet
from driftproof.zoo._load import load_model
from driftproof.zoo._resnet_cifar import resnet20
from driftproof.zoo._weights import save_weights

__all__ = ["digits_cnn", "digits_resnet", "load_model", "resnet20", "save_weights", "trained_digits_cnn"]

__getattr__ = old_names(__name__)

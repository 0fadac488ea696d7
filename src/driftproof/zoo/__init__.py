"""Known networks, and networks and weights from files."""

from driftproof.zoo.digits_cnn import DigitsCNN, digits_cnn, train_digits_cnn, trained_digits_cnn
from driftproof.zoo.load import LoadedModel, load_model
from driftproof.zoo.resnet_cifar import ResNetCifar, resnet20, resnet32, resnet44, resnet56
from driftproof.zoo.weights import load_weights, save_weights

__all__ = [
    # A model by name, as the command line takes it
    "LoadedModel",
    "load_model",
    # The embedded network
    "DigitsCNN",
    "digits_cnn",
    "train_digits_cnn",
    "trained_digits_cnn",
    # CIFAR ResNets
    "ResNetCifar",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    # Files of weights
    "load_weights",
    "save_weights",
]

"""Hopfield networks and their relaxation."""

from driftproof._hopfield.edges import ConvolutionEdge, DenseEdge, Edge, Feedback, ForwardProduct, Precision
from driftproof._hopfield.named import dchn, hopfield_dense
from driftproof._hopfield.network import HopfieldNetwork
from driftproof._hopfield.recording import Recording
from driftproof._hopfield.relaxation import FREE, Order, Pull, Relaxed, Schedule, States, relax

"""What driftproof does unless told otherwise: each number stands here once, for Python and the command line alike.

The module imports nothing of ours, so that a command can show its help without torch.
"""

from __future__ import annotations

from typing import Final

TIMES: Final = ("1s", "1h", "1d", "30d", "1y", "10y")
"""Times after programming at which chips are read."""
CHIPS: Final = 25
"""Chips of an evaluation: its unit of replication."""
LAYER_CHIPS: Final = 10
"""Chips on which single layers and causes are measured: they need many passes, and differences on them are paired."""
VALIDATION_CHIPS: Final = 5
"""Chips on which a training is validated after every epoch."""
METRIC: Final = "accuracy"
BATCH_SIZE: Final = 250
"""Samples of one forward pass of an evaluation."""
BACKEND: Final = "folded"
COMPENSATION: Final = "tile"
PERIPHERY: Final = "ideal"
SCALE: Final = "column"
"""What a weight is relative to: the largest weight of its column in its tile."""
TILE: Final = (512, 512)
"""Rows and columns of the largest crossbar."""
SEED: Final = 0
SPLIT: Final = "test"
"""Which samples of a data set with several splits: those that no network here was trained on."""
TORCH_DEVICE: Final = "cpu"
CALIBRATION_SAMPLES: Final = 1000
"""Inputs that the command line takes of --calibration-data."""
RANGE_SAMPLES: Final = 500
"""Inputs of the reported data that static input ranges are measured on, if nobody gives others."""
EPOCHS: Final = 10
"""Passes through the data of a training from the command line."""
TRAINING_BATCH_SIZE: Final = 128
"""Samples of one update."""
MICRO_BATCHES: Final = 1
LEARNING_RATE: Final = 0.01
WEIGHT_DECAY: Final = 1e-4
OPTIMIZER: Final = "sgd"
LOSS: Final = "cross-entropy"
PRECISION: Final = "float32"
METHOD: Final = "rwp"
"""How the command line trains unless told otherwise."""
DIAGNOSE_EVERY: Final = 0
"""Updates between diagnostics that cost a pass; 0 for never."""
FITTED_DRIFT: Final = "power"
FAMILY: Final = "measured"
"""Drift law and family of a preset that is fitted to measurements."""

"""Default values. Each one is written here once, for Python and the command line.

The module imports nothing from driftproof, so that a command can show its help without torch.
"""

from __future__ import annotations

from typing import Final

TIMES: Final = ("1s", "1h", "1d", "30d", "1y", "10y")
"""Times after the first read at which chips are read."""
CHIPS: Final = 25
"""Number of chips of an evaluation."""
LAYER_CHIPS: Final = 10
"""Number of chips on which single layers and causes are measured. They need many passes, and differences are paired."""
VALIDATION_CHIPS: Final = 5
"""Number of chips on which a training is validated after every epoch."""
METRIC: Final = "accuracy"
BATCH_SIZE: Final = 250
"""Number of samples in a forward pass of an evaluation."""
BACKEND: Final = "folded"
COMPENSATION: Final = "tile"
READ_OUT_S: Final = 1.0
"""How long a read-out of a chip takes, in s: an assumption."""
CALIBRATION_PAUSE_S: Final = 3600.0
"""How long lies between the calibration of a chip and its use, in s: an assumption."""
PERIPHERY: Final = "ideal"
SCALE: Final = "column"
"""Weights are relative to the largest weight of their column in their tile."""
TILE: Final = (512, 512)
"""Numbers of rows and columns of the largest crossbar."""
SEED: Final = 0
ON: Final = "new"
"""Statements of statistics hold for new samples unless these samples are asked for."""
CI_OF: Final = "drop"
CI_ON: Final = "these"
"""The quantity whose interval becomes narrow, and the samples for which it holds: what new inputs add stays."""
SPLIT: Final = "test"
"""The split of a data set that no network here was trained on."""
TORCH_DEVICE: Final = "cpu"
CALIBRATION_SAMPLES: Final = 1000
"""Number of inputs that the command line takes from --calibration-data."""
RANGE_SAMPLES: Final = 500
"""Number of reported inputs on which static input ranges are measured if there is no calibration data."""
EPOCHS: Final = 10
"""Number of passes through the data in a training from the command line."""
TRAINING_BATCH_SIZE: Final = 128
"""Number of samples of one update."""
MICRO_BATCHES: Final = 1
LEARNING_RATE: Final = 0.01
LR_SCHEDULE: Final = "cosine"
WARM_UP: Final = 0.05
"""Share of the updates in which the learning rate rises."""
WEIGHT_DECAY: Final = 1e-4
OPTIMIZER: Final = "sgd"
LOSS: Final = "cross-entropy"
PRECISION: Final = "float32"
METHOD: Final = "rwp"
"""The training method of the command line."""
DIAGNOSE_EVERY: Final = 0
"""Number of updates between diagnostics that cost a pass. 0 means never."""
FITTED_T0_S: Final = 20.0
"""Time of the first read after the last programming pulse, in s, of measurements that begin soon after it."""
FITTED_DRIFT: Final = "power"
FAMILY: Final = "measured"
"""Drift law and family of a preset that is fitted to measurements."""
MISSING: Final = "refuse"
NEGATIVE: Final = "refuse"
"""What readings that failed, and negative conductances, mean in a table of measurements."""

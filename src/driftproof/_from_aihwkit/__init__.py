"""aihwkit's networks, configurations and checkpoints, as what driftproof has for them."""

from driftproof._from_aihwkit.found import FromAihwkit
from driftproof._from_aihwkit.importing import from_aihwkit

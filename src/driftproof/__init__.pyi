"""The public names, by subject; ``__init__.py`` loads each when it is first used."""

__all__: list[str]
__version__: str

from ._chip import Chip as Chip
from ._chip import Programmer as Programmer
from ._conversion import AnalogModel as AnalogModel
from ._conversion import ProgrammedChip as ProgrammedChip
from ._conversion import convert as convert
from ._conversion import load as load
from ._conversion import program as program
from ._conversion import save as save
from ._conversion import to_aihwkit as to_aihwkit
from ._device_choice import load_device as load_device
from ._errors import DriftproofError as DriftproofError
from ._errors import DriftproofWarning as DriftproofWarning
from ._from_aihwkit import from_aihwkit as from_aihwkit
from ._mapping import MappingOptions as MappingOptions
from ._mapping import TileSize as TileSize
from ._mapping import map_model as map_model
from ._presets import DevicePreset as DevicePreset
from ._presets import load_preset as load_preset
from ._presets import preset_names as preset_names
from ._record import Record as Record
from ._reporting import compare as compare
from ._reporting import export as export
from ._reporting import report as report
from ._reporting import summarise as summarise
from .evaluation import Deployment as Deployment
from .evaluation import Evaluator as Evaluator
from .evaluation import Recalibration as Recalibration
from .evaluation import Trial as Trial
from .plans import ChipValidation as ChipValidation
from .plans import evaluate as evaluate
from .training import ASAM as ASAM
from .training import GSAM as GSAM
from .training import RWP as RWP
from .training import SAM as SAM
from .training import SAMRWP as SAMRWP
from .training import AdaptiveRWP as AdaptiveRWP
from .training import ClipWeights as ClipWeights
from .training import Distillation as Distillation
from .training import LookSAM as LookSAM
from .training import MixedRWP as MixedRWP
from .training import MultiStepSAM as MultiStepSAM
from .training import NoiseInjection as NoiseInjection
from .training import OnTiles as OnTiles
from .training import Plain as Plain
from .training import Training as Training
from .training import TwoPointRWP as TwoPointRWP
from .training import ramp as ramp
from .training import train as train

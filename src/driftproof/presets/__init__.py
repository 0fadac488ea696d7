"""Device presets: TOML files → frozen, validated :class:`DevicePreset`. No torch, no aihwkit."""

from driftproof.laws.validity import Validity
from driftproof.presets.at_time import AtTime, at_time
from driftproof.presets.load import load_preset, parse_changes, preset_folder, preset_names
from driftproof.presets.mix import DeviceMix, is_mix, load_mix
from driftproof.presets.preset import DevicePreset, Source
from driftproof.presets.variants import Law, without

__all__ = [
    # The preset
    "DeviceMix",
    "DevicePreset",
    "Source",
    "Validity",
    # The same at a time of its life
    "AtTime",
    "at_time",
    # What it is without some of its laws
    "Law",
    "without",
    # Finding and reading files
    "is_mix",
    "load_mix",
    "load_preset",
    "parse_changes",
    "preset_folder",
    "preset_names",
]

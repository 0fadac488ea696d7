"""Device presets: TOML files → frozen, validated :class:`DevicePreset`. No torch, no aihwkit."""

from driftproof.presets.load import load_preset, parse_changes, preset_folder, preset_names
from driftproof.presets.mix import DeviceMix, is_mix, load_mix
from driftproof.presets.preset import DevicePreset, Source, Validity

__all__ = [
    # The preset
    "DeviceMix",
    "DevicePreset",
    "Source",
    "Validity",
    # Finding and reading files
    "is_mix",
    "load_mix",
    "load_preset",
    "parse_changes",
    "preset_folder",
    "preset_names",
]

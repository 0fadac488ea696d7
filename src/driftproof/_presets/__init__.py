"""Device presets: TOML files → frozen, validated :class:`DevicePreset`. No torch, no aihwkit."""

from driftproof._presets.at_time import AtTime, at_time
from driftproof._presets.load import load_preset, parse_changes, preset_folder, preset_names
from driftproof._presets.mix import DeviceMix, SavedMix, is_mix, load_mix
from driftproof._presets.preset import DevicePreset, SavedPreset, Source
from driftproof._presets.variants import Law, without

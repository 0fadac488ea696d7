"""aihwkit's noise models as devices: the law of a preset with the noise model's own numbers. aihwkit is not imported.

A noise model is a class, and its numbers are attributes of an object. The tables below say which attributes each class
has and which numbers of the preset they are; whatever else an object has is named as not taken over. A user's class may
compute anything, also one that is derived from aihwkit's, and is not taken over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from driftproof._errors import explained
from driftproof._from_aihwkit.curves import curve_times, times
from driftproof._presets import DevicePreset, load_preset
from driftproof.periphery._beyond import attributes, made, shown

_OWN = (
    "there is no device with its law: write a preset file for it, or fit one to measurements (driftproof presets fit)"
)
_SCALES = ("prog_noise_scale", "read_noise_scale", "drift_scale")
_PCM = (*_SCALES, "g_max", "prog_coeff", "prog_coeff_g_max_reference", "t_0", "t_read")


@cache
def _shipped(name: str) -> DevicePreset:
    """Return a preset, read once: a configuration is taken over many times to see which settings have an effect."""
    return load_preset(name)


class _NotHere(Exception):
    """The noise model has no counterpart; the text is the reason."""


def device_of(model: Any) -> tuple[DevicePreset | None, list[str]]:
    """Return the device of a noise model, or None, and one text for everything that was not taken over.

    A noise model with aihwkit's own constants becomes the preset that has them. With other numbers the device carries
    them in its name, such as ``pcm-nandakumar-2019 [prog_noise_scale=1.2]``. Its laws are those of the noise model,
    also where driftproof would choose otherwise: aihwkit scales the programming noise in µS with ``g_max``.

    Args:
        model: An object of one of aihwkit's noise models.
    """
    kind = type(model)
    known = _KINDS.get(kind.__name__) if kind.__module__.startswith("aihwkit.") else None
    if known is None:
        base = next((k.__name__ for k in kind.__mro__[1:] if k.__module__.startswith("aihwkit.")), "")
        why = f"it is a class of its own{f', derived from {base},' if base else ''} and may compute anything; "
        return None, [f"noise_model = {shown(model)}: {why}{_OWN}"]
    names, make = known
    try:
        tables = make(model)
        base_name = str(tables["name"])
        device = _preset(tables, base_name, _changes(model, names, base_name))
    except _NotHere as reason:
        return None, [f"noise_model = {shown(model)}: {reason}"]
    except ValidationError as error:
        why = explained("", error).replace("\n", "; ")
        return None, [f"noise_model = {shown(model)}: no device has these numbers: {why}"]
    except (TypeError, ValueError, LookupError, AttributeError, ZeroDivisionError) as error:  # a user changed its type
        return None, [f"noise_model = {shown(model)}: its numbers cannot be read ({type(error).__name__}: {error})"]
    unknown = [name for name, _ in attributes(model) if name not in (*names, "g_converter")]
    left = [
        f"noise_model.{name} = {shown(getattr(model, name))}: aihwkit's noise model does not read it"
        for name in unknown
    ]
    return device, left


def _preset(tables: dict[str, Any], base_name: str, changes: dict[str, str]) -> DevicePreset:
    """Return the shipped preset if the tables have its numbers, and otherwise a device of its own name."""
    device = DevicePreset.model_validate(tables)
    if base_name in _SHIPPED and device.sha256 == _shipped(base_name).sha256:
        return _shipped(base_name)
    text = ", ".join(f"{name}={value}" for name, value in changes.items())
    told = f"Numbers of a noise model of aihwkit{f' that are not those of {base_name}: {text}' if text else ''}."
    tables = tables | {
        "name": f"{base_name} [{text}]" if text else base_name,
        "assumptions": [*tables.get("assumptions", ()), {"text": told}],
        "variants": [],
    }
    return DevicePreset.model_validate(tables)


def _changes(model: Any, names: tuple[str, ...], base_name: str) -> dict[str, str]:
    """Return the numbers that the preset does not have, as text by their names in aihwkit."""
    usual: dict[str, Any] = next((vars(one) for kind in type(model).__mro__ if (one := made(kind)) is not None), {})
    if base_name in _SHIPPED:
        shipped: Any = _shipped(base_name)
        usual = usual | {
            "g_max": shipped.conductance.g_max_us,
            "t_0": shipped.definition().get("drift", {}).get("t0_s"),
        }
        usual = usual | {"prog_coeff": list(shipped.programming.sigma_us)}  # those of as many devices as the preset's
    derived = ("prog_coeff_g_max_reference", "coeff_g_max_reference", "num_devices", "acceptance_range")
    changed = {
        name: _short(getattr(model, name))
        for name in names
        if name not in derived and hasattr(model, name) and not _same(getattr(model, name), usual.get(name))
    }
    converter = model.g_converter
    if "g_min" not in names and converter.g_min:
        changed["g_min"] = _short(converter.g_min)
    if hasattr(converter, "f_lst"):
        changed["f_lst"] = _short(converter.f_lst)
    return changed


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return shown(one) == shown(other)


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else shown(value)
    return text if len(text) <= 24 else "…"


# --- conductances ---


def _conductance(model: Any) -> dict[str, Any]:
    """Return the table ``conductance`` for aihwkit's converter of weights to conductances."""
    converter = model.g_converter
    ends = {"g_min_us": float(converter.g_min), "g_max_us": float(converter.g_max)}
    kind = type(converter).__name__
    if kind == "SinglePairConductanceConverter":
        return {"encoding": "pair", **ends}
    if kind == "SingleDeviceConductanceConverter":
        return {"encoding": "offset", "reference": "constant", **ends}
    if kind in ("DualPairConductanceConverter", "NPairConductanceConverter"):
        factors = [float(factor) for factor in converter.f_lst]
        pairs: dict[str, Any] = {"encoding": "pair", "significance": factors, **ends}
        if len(factors) == 1:
            return pairs
        # aihwkit fills the pairs in the order of its list
        if factors == sorted(factors):
            return pairs | {"fill": "least-first"}
        if factors == sorted(factors, reverse=True):
            return pairs | {"fill": "most-first"}
        raise _NotHere(
            f"its {kind} fills pairs in the order of f_lst = {shown(factors)}; here they are filled in the order of "
            "their significance: sort the list"
        )
    raise _NotHere(
        f"its {kind} has no counterpart; here weights are pairs of devices, several pairs filled one after another, or "
        "single devices with a reference"
    )


# --- laws ---


def _pcm_like(model: Any, base: str) -> dict[str, Any]:
    """Return a PCM preset's tables with the numbers of ``PCMLikeNoiseModel`` or ``HermesNoiseModel``.

    σ_prog = scale · (g_max/reference) · Σ cᵢ (G/g_max)ⁱ; ν and the read noise are the preset's curves times their
    scales, with r = G/g_max.
    """
    tables = _shipped(base).definition()
    tables["conductance"] = _conductance(model)
    tables["validity"]["g_us"] = [0.0, float(model.g_max)]
    reference = getattr(model, "prog_coeff_g_max_reference", None)
    if reference is None:
        raise _NotHere(
            "prog_coeff with a prog_coeff_g_max_reference is an AttributeError when aihwkit programs with it: give "
            "coefficients for g_max, without a reference"
        )
    sigma_us = times(model.prog_noise_scale * (model.g_max / reference), model.prog_coeff)
    tables["programming"] = _programming({"law": "polynomial", "variable": "r", "sigma_us": sigma_us})
    for key, factor, curves in (
        ("drift", model.drift_scale, ("nu_mean", "nu_sd")),
        ("read", model.read_noise_scale, ("q",)),
    ):
        table = tables.pop(key)
        if factor:
            scaled = {curve: curve_times(factor, table[curve]) for curve in curves}
            tables[key] = table | {"t0_s": float(model.t_0)} | scaled
    if read := tables.get("read"):
        read["t_read_s"] = float(model.t_read)
    return tables


def _programming(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table ``programming``; that of exact devices if there is no noise."""
    return table if any(table["sigma_us"]) else {"law": "none"}


def _custom_drift(model: Any) -> dict[str, Any]:
    """Return the tables of ``CustomDriftPCMLikeNoiseModel``: ν interpolated between the user's conductances."""
    tables = _pcm_like(model, "pcm-nandakumar-2019")
    if "drift" in tables:
        given = model.custom_drift_model
        places = times(1 / model.g_max, given["g_lst"])
        for curve, key in (("nu_mean", "nu_mean_lst"), ("nu_sd", "nu_std_lst")):
            tables["drift"][curve] = [{"at_r": places, "values": times(model.drift_scale, given[key])}]
    return tables


def _state_independent(model: Any) -> dict[str, Any]:
    """Return the tables of ``StateIndependentNoiseModel``: coefficients in µS, one mean and spread of ν."""
    in_us = SimpleNamespace(**vars(model), prog_coeff_g_max_reference=model.g_max)
    tables = _pcm_like(in_us, "pcm-nandakumar-2019")
    where = "class StateIndependentNoiseModel (aihwkit/inference/noise/custom.py)"
    tables |= {
        "name": "aihwkit-state-independent",
        "family": "assumed",
        "summary": "Noise of aihwkit's StateIndependentNoiseModel: drift and read noise that do not depend on the "
        "conductance.",
        "source": {"title": "IBM aihwkit", "where": where, "fitted_by": "nobody: an assumption of aihwkit's authors"},
        "assumptions": [{"text": "t = 0 is the first read, t0 after the last programming pulse."}],
    }
    if "drift" in tables:
        mean, sd = model.drift_nu_mean, model.drift_nu_std
        tables["drift"]["nu_mean"] = [{"polynomial": [model.drift_scale * mean]}]
        tables["drift"]["nu_sd"] = [{"polynomial": [model.drift_scale * sd]}]
    if read := tables.get("read"):  # aihwkit's σ is G/g_max times a number in µS
        read["q"] = [{"polynomial": [model.read_noise_scale / model.g_max]}]
    return tables


def _wan(model: Any) -> dict[str, Any]:
    """Return the tables of ``ReRamWan2022NoiseModel``: σ = scale · (g_max/reference) · Σ cᵢ(t) (G/g_max)ⁱ."""
    reference = getattr(model, "coeff_g_max_reference", None)
    if reference is None:
        raise _NotHere(
            "a coeff_g_max_reference is an AttributeError when aihwkit programs with it: give coefficients for g_max, "
            "without a reference"
        )
    tables = _shipped("reram-wan-2022").definition()
    at = dict(sorted(model.coeff_dic.items()))
    factor = model.noise_scale * (model.g_max / reference)
    t_s = [float(time) for time in at]
    rows = {"t_s": t_s, "sigma_us": [times(factor, row) for row in at.values()]}
    tables["programming"] = tables["programming"] | rows if factor else {"law": "none"}
    tables["conductance"] = _conductance(model)
    tables["validity"] = {"g_us": [0.0, float(model.g_max)], "t_s": [t_s[0], t_s[-1]]}
    return tables


def _cmo(model: Any) -> dict[str, Any]:
    """Return the tables of ``ReRamCMONoiseModel``: σ in µS as a polynomial of G in µS, relaxation with ln t."""
    key = model.acceptance_range if model.acceptance_range in model.coeff_dict else min(model.coeff_dict)
    base = "reram-cmo-2pct-digital-reference" if key == 2 else "reram-cmo-02pct-digital-reference"
    tables = _shipped(base).definition()
    encoding, old = _conductance(model), tables["conductance"]
    ends = [key for key in ("g_min_us", "g_max_us") if not _same(encoding[key], old[key])]
    if ends:
        tables["conductance"], tables["validity"]["g_us"] = encoding, [encoding["g_min_us"], encoding["g_max_us"]]
    sigma_us = times(model.prog_noise_scale, model.coeff_dict[key])
    tables["programming"] = _programming({"law": "polynomial", "variable": "g_us", "sigma_us": sigma_us})
    drift = tables.pop("drift")
    if model.drift_scale:
        (shift,), (per_ln_t, at_1_s) = model.decay_dict["mean"], model.decay_dict["std"]
        numbers = {"shift_us_per_ln_t": shift, "sd_us_per_ln_t": per_ln_t, "sd_us": at_1_s}
        tables["drift"] = drift | {name: model.drift_scale * number for name, number in numbers.items()}
    read = tables.pop("read", None) or _shipped("reram-cmo-2pct").definition()["read"]
    if model.read_noise_scale:
        k_us, t_read_s = model.read_noise_scale * model.read_dict["K"], float(model.read_dict["t_read"])
        tables["read"] = read | {"k_us": k_us, "t_read_s": t_read_s}
    return tables


_CMO = (
    *_SCALES,
    "g_max",
    "g_min",
    "coeff_g_max_reference",
    "coeff_dict",
    "decay_dict",
    "read_dict",
    "acceptance_range",
)
_WAN = ("coeff_dic", "noise_scale", "g_max", "coeff_g_max_reference", "prog_coeff_g_max_reference")
_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Any], dict[str, Any]]]] = {
    "PCMLikeNoiseModel": (_PCM, lambda model: _pcm_like(model, "pcm-nandakumar-2019")),
    "CustomDriftPCMLikeNoiseModel": ((*_PCM, "custom_drift_model"), _custom_drift),
    "HermesNoiseModel": ((*_PCM, "num_devices"), lambda model: _pcm_like(model, f"pcm-hermes-{model.num_devices}")),
    "StateIndependentNoiseModel": (
        (*_SCALES, "g_max", "prog_coeff", "t_0", "t_read", "drift_nu_mean", "drift_nu_std"),
        _state_independent,
    ),
    "ReRamWan2022NoiseModel": (_WAN, _wan),
    "ReRamCMONoiseModel": (_CMO, _cmo),
}
"""aihwkit's class → the attributes that its law has, and a function that returns a preset's tables."""
_SHIPPED = (
    *("pcm-nandakumar-2019", "pcm-hermes-1", "pcm-hermes-2", "reram-wan-2022"),
    *("reram-cmo-2pct-digital-reference", "reram-cmo-02pct-digital-reference"),
)
"""The presets whose numbers are a noise model's, if it has aihwkit's own."""

"""The entries of a record that belong to a trial: the series that decides its numbers, and how a report shows it."""

from __future__ import annotations

from dataclasses import asdict

import driftproof._record as stored
from driftproof._device_card import device_card
from driftproof._devices import Device
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._recalibration import even_batch


def conditions_of(evaluator: Evaluator, deployment: Deployment) -> stored.Conditions:
    """Return everything except the device that decides numbers, as plain values with the names of layers on tiles."""
    deployment = evaluator.calibrated(deployment)
    mapping, recalibration = evaluator.mapping(deployment.mapping), deployment.recalibration
    inputs = None
    if recalibration is not None:
        inputs = stored.RecalibrationInputs(
            when=recalibration.when,
            data_hash=recalibration.data.fingerprint(),
            samples=len(recalibration.data),
            batch_size=even_batch(len(recalibration.data), evaluator.batch_size),
        )
    return stored.Conditions(
        backend=evaluator.backend,
        torch_device=str(evaluator.torch_device),
        tile_rows=mapping.tile.rows,
        tile_cols=mapping.tile.columns,
        scale=mapping.scale,
        clip=mapping.clip,
        analog=tuple(sorted(mapping.weights)),
        compensation=str(deployment.compensation),
        periphery={} if deployment.periphery.is_ideal else deployment.periphery.numbers(),
        ranges=_range_inputs(evaluator, deployment),
        recalibration=inputs,
        read_outs=str(deployment.read_outs),
        seed=deployment.seed,
    )


def _range_inputs(evaluator: Evaluator, deployment: Deployment) -> stored.Inputs | None:
    """Return the inputs that static ranges are measured on. The batch size matters for a moving average only."""
    held = deployment.calibration
    if held is None:
        return None
    moving = getattr(deployment.periphery.input_range, "method", "") == "moving"
    at_once = min(evaluator.batch_size, len(held)) if moving else len(held)
    return stored.Inputs(data_hash=held.fingerprint(), samples=len(held), batch_size=at_once)


def series_of(evaluator: Evaluator, deployment: Deployment | None) -> stored.Series:
    """Return the series of a deployment's trials. None means the digital network."""
    if deployment is None:
        return stored.Series()
    return stored.Series(device_sha256=deployment.device.sha256, conditions=conditions_of(evaluator, deployment))


def preset_entries(device: Device) -> list[stored.PresetEntry]:
    """Return a device's entries in a record, with its card. A mix also has the entries of its parts."""
    parts = [entry for part in device.parts if part is not device for entry in preset_entries(part)]
    card = None if device.laws is None else device_card(device.laws)  # type: ignore[arg-type]  # it reads laws only
    entry = stored.PresetEntry(name=device.name, sha256=device.sha256, definition=device.definition(), card=card)
    return [*parts, entry]


def show(
    record: stored.Record, evaluator: Evaluator, deployment: Deployment, *, rows: dict[str, Deployment], label: str = ""
) -> str:
    """Write how a report shows a deployment's conditions and which series are its rows. Return the ``config_id``.

    Args:
        record: A record that is claimed for this evaluator.
        evaluator: The evaluator of its outcomes.
        deployment: The deployment that gives the conditions. Its device does not matter.
        rows: Name of a row → the deployment whose cells it shows. The row ``digital`` is always added.
        label: Text that distinguishes this configuration from others in one report.

    Raises:
        DriftproofError: The record holds a preset of the same name with other numbers.
    """
    deployment = evaluator.calibrated(deployment)
    conditions, mapping = conditions_of(evaluator, deployment), evaluator.mapping(deployment.mapping)
    periphery, held, recalibration = deployment.periphery, deployment.calibration, deployment.recalibration
    conversion = stored.Conversion(
        **conditions.model_dump(include={"tile_rows", "tile_cols", "scale", "clip"}),
        layers=tuple(stored.Layer(**asdict(entry) | {"name": entry.name or "(root)"}) for entry in mapping.layers),
    )
    record.add_conversion(conditions.conversion_id, conversion)
    key = stored.config_id(record.subject or evaluator.subject, conditions)
    recalibrated = None
    if recalibration is not None and conditions.recalibration is not None:
        recalibrated = stored.Recalibrated(**conditions.recalibration.model_dump(), data=recalibration.data.name)
    configuration = stored.Configuration(
        backend=conditions.backend,
        periphery=periphery.name,
        compensation=conditions.compensation,
        device=conditions.torch_device,
        seed=conditions.seed,
        conversion=conditions.conversion_id,
        label=label,
        recalibration=recalibrated,
        read_outs=conditions.read_outs,
        around=None if periphery.is_ideal else periphery.definition(),
        around_text="" if periphery.is_ideal else str(periphery),
        ranges=None
        if held is None
        else stored.MeasuredRanges(data=held.name, data_hash=held.fingerprint(), samples=len(held)),
    )
    record.add_configuration(key, configuration)
    for name, shown in {stored.DIGITAL: None, **rows}.items():
        record.show(key, name, record.add_series(series_of(evaluator, shown)))
    return key

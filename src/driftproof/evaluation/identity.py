"""What a record keeps of a trial: the series that decides its numbers, and how a report shows that."""

from __future__ import annotations

from driftproof.data import Data
from driftproof.device_card import device_card
from driftproof.devices import Device
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.evaluator import Evaluator, layer_rows
from driftproof.evaluation.recalibration import even_batch
from driftproof.evaluation.trial import Trial
from driftproof.record import (
    DIGITAL,
    Conditions,
    Configuration,
    Conversion,
    Inputs,
    Layer,
    MeasuredRanges,
    PresetEntry,
    Recalibrated,
    RecalibrationInputs,
    Record,
    Series,
    config_id,
)


def conditions_of(evaluator: Evaluator, deployment: Deployment) -> Conditions:
    """Return all that decides numbers beside the device, as plain values; layers on tiles are there by name."""
    deployment = evaluator.calibrated(deployment)
    mapping, held = evaluator.mapping(deployment.mapping), deployment.calibration
    recalibration = deployment.recalibration
    return Conditions(
        backend=evaluator.backend,
        torch_device=str(evaluator.torch_device),
        tile_rows=mapping.tile.rows,
        tile_cols=mapping.tile.columns,
        scale=mapping.scale,
        clip=mapping.clip,
        analog=tuple(sorted(mapping.weights)),
        compensation=str(deployment.compensation),
        periphery={} if deployment.periphery.is_ideal else deployment.periphery.numbers(),
        ranges=None if held is None else _range_inputs(evaluator, deployment, held),
        recalibration=None
        if recalibration is None
        else RecalibrationInputs(
            when=recalibration.when,
            data_hash=recalibration.data.fingerprint(),
            samples=len(recalibration.data),
            batch_size=even_batch(len(recalibration.data), evaluator.batch_size),
        ),
        seed=deployment.seed,
    )


def _range_inputs(evaluator: Evaluator, deployment: Deployment, held: Data) -> Inputs:
    """Return what static ranges are measured on; how many at a time counts for a moving average only."""
    moving = getattr(deployment.periphery.input_range, "method", "") == "moving"
    at_once = min(evaluator.batch_size, len(held)) if moving else len(held)
    return Inputs(data_hash=held.fingerprint(), samples=len(held), batch_size=at_once)


def series_of(evaluator: Evaluator, trial: Trial) -> Series:
    """Return the series that a trial belongs to."""
    if trial.deployment is None:
        return Series()
    return Series(device_sha256=trial.deployment.device.sha256, conditions=conditions_of(evaluator, trial.deployment))


def preset_entries(device: Device) -> list[PresetEntry]:
    """Return what a record shows of a device; the devices of a mix stand there too, each with its card."""
    parts = [entry for part in device.parts if part is not device for entry in preset_entries(part)]
    card = None if device.laws is None else device_card(device.laws)  # type: ignore[arg-type]  # it reads laws only
    entry = PresetEntry(name=device.name, sha256=device.sha256, definition=device.definition(), card=card)
    return [*parts, entry]


def show(
    record: Record, evaluator: Evaluator, deployment: Deployment, *, rows: dict[str, Deployment], label: str = ""
) -> str:
    """Say how a report shows a deployment's conditions, and which series stand under them; return its ``config_id``.

    Args:
        record: claimed for this evaluator.
        evaluator: whose outcomes it holds.
        deployment: its device does not count.
        rows: name of a row → the deployment whose cells it shows. The row ``digital`` is always there.
        label: what tells the configuration from others in one report.

    Raises:
        DriftproofError: a preset that the record holds with other numbers.
    """
    deployment = evaluator.calibrated(deployment)
    conditions, mapping = conditions_of(evaluator, deployment), evaluator.mapping(deployment.mapping)
    periphery, held, recalibration = deployment.periphery, deployment.calibration, deployment.recalibration
    conversion = Conversion(
        tile_rows=mapping.tile.rows,
        tile_cols=mapping.tile.columns,
        scale=mapping.scale,
        clip=mapping.clip,
        layers=tuple(Layer(**row) for row in layer_rows(mapping)),
    )
    record.add_conversion(conditions.conversion_id, conversion)
    key = config_id(record.subject or evaluator.subject, conditions)
    configuration = Configuration(
        backend=conditions.backend,
        periphery=periphery.name,
        compensation=conditions.compensation,
        device=conditions.torch_device,
        seed=conditions.seed,
        conversion=conditions.conversion_id,
        label=label,
        recalibration=None
        if recalibration is None or conditions.recalibration is None
        else Recalibrated(**conditions.recalibration.model_dump(), data=recalibration.data.name),
        around=None if periphery.is_ideal else periphery.definition(),
        around_text="" if periphery.is_ideal else str(periphery),
        ranges=None
        if held is None
        else MeasuredRanges(data=held.name, data_hash=held.fingerprint(), samples=len(held)),
    )
    record.add_configuration(key, configuration)
    record.show(key, DIGITAL, record.add_series(Series()))
    for name, shown in rows.items():
        series = record.add_series(series_of(evaluator, Trial(shown)))
        record.show(key, name, series)
    return key

"""Networks of timm and of Hugging Face's folders: small ones with random weights, written here."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from logging import ERROR
from pathlib import Path

import pytest
import torch

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof.zoo import load_model, save_weights

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=30,
        max_position_embeddings=16,
        num_labels=3,
    )
    folder = tmp_path_factory.mktemp("hf") / "small-bert"
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "small-bert"))


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_comes_with_its_class_and_weights(folder: Path) -> None:
    loaded = load_model(f"hf:{folder}")
    assert (loaded.name, loaded.trained, loaded.model.training) == ("hf:small-bert", True, False)
    again = transformers.BertForSequenceClassification.from_pretrained(folder, local_files_only=True)
    assert type(loaded.model) is transformers.BertForSequenceClassification
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), again.parameters(), strict=True))


def test_half_precision_becomes_single(folder: Path) -> None:
    model = transformers.BertForSequenceClassification.from_pretrained(folder, local_files_only=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    assert {value.dtype for value in load_model(f"hf:{folder}").model.parameters()} == {torch.float32}


def test_a_folder_without_weights_is_untrained_unless_they_are_given(folder: Path, tmp_path: Path) -> None:
    save_weights(load_model(f"hf:{folder}").model, tmp_path / "w.safetensors")
    given = load_model(f"hf:{folder}", tmp_path / "w.safetensors")
    (folder / "model.safetensors").unlink()
    assert not load_model(f"hf:{folder}").trained
    again = load_model(f"hf:{folder}", tmp_path / "w.safetensors")
    assert given.trained
    assert again.trained
    assert torch.equal(again.model.classifier.weight, given.model.classifier.weight)  # type: ignore[union-attr, arg-type]


def test_pickles_are_refused(folder: Path) -> None:
    state = load_model(f"hf:{folder}").model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(DriftproofError, match=r"weights are pickles \(pytorch_model.bin\), which can run code"):
        load_model(f"hf:{folder}")


def test_code_in_a_folder_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Net: pass\n")
    change(folder, auto_map={"AutoConfig": "evil.Net", "AutoModel": "evil.Net"})
    load_model(f"hf:{folder}")
    change(folder, architectures=["EvilNet"])
    with pytest.raises(DriftproofError, match=r"no network 'EvilNet'.*code.*\(auto_map\) is never run"):
        load_model(f"hf:{folder}")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architectures": None}, r"names no architectures"),
        ({"architectures": ["BertConfig"]}, r"has no network 'BertConfig'"),
        ({"architectures": ["BertForMaskedLM"]}, r"no weights of the right shape for .*cls.predictions"),
        ({"num_labels": 5, "id2label": None, "label2id": None}, r"classifier"),
        ({"vocab_size": 31}, r"word_embeddings"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, r"its weights are quantised"),
        ({"hidden_size": "wide"}, r"cannot be loaded"),
    ],
    ids=str,
)
def test_folders_that_do_not_fit(folder: Path, values: dict[str, object], message: str) -> None:
    change(folder, **values)
    with pytest.raises(DriftproofError, match=message):
        load_model(f"hf:{folder}")


def test_more_that_is_wrong_with_a_folder(folder: Path) -> None:
    with pytest.raises(DriftproofError, match=r"no config.json in .*absent; .*nothing is downloaded"):
        load_model(f"hf:{folder}/absent")
    with pytest.raises(DriftproofError, match=r"no config.json"):
        load_model("hf:bert-base-uncased")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(DriftproofError, match=r"an adapter .*merge it"):
        load_model(f"hf:{folder}")
    (folder / "adapter_config.json").unlink()
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DriftproofError, match=r"cannot be loaded"):
        load_model(f"hf:{folder}")
    (folder / "config.json").write_text("{")
    with pytest.raises(DriftproofError, match=r"cannot be loaded \(JSONDecodeError"):
        load_model(f"hf:{folder}")


def test_nan_and_superfluous_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file({**state, "extra.weight": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(DriftproofWarning, match=r"BertForSequenceClassification does not use extra.weight"):
        load_model(f"hf:{folder}")
    state["classifier.bias"][1] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DriftproofError, match=r"NaN in classifier\.bias"):
        load_model(f"hf:{folder}")


def test_nothing_is_asked_of_a_server_and_settings_come_back(folder: Path) -> None:
    from huggingface_hub import constants
    from transformers.utils import logging

    def state() -> tuple[bool, bool, int]:
        return constants.HF_HUB_OFFLINE, logging.is_progress_bar_enabled(), logging.get_verbosity()

    before = state()
    seen = []
    original = transformers.BertForSequenceClassification.from_pretrained

    def watched(*args: object, **kwargs: object) -> object:
        seen.append(state())
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers.BertForSequenceClassification, "from_pretrained", watched)
        load_model(f"hf:{folder}")
    assert seen == [(True, False, ERROR)]
    assert state() == before != seen[0]


def test_timm_by_name_untrained_unless_weights_are_given(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    loaded = load_model("timm:resnet10t")
    assert (loaded.name, loaded.trained, loaded.model.training) == ("timm:resnet10t", False, False)
    save_weights(loaded.model, tmp_path / "w.safetensors")
    assert load_model("timm:resnet10t", tmp_path / "w.safetensors").trained
    for name, message in (
        ("resnt18", r"timm has no model 'resnt18' \(did you mean resnet18\?\)"),
        ("hf-hub:timm/resnet18", r"timm has no model 'hf-hub:timm/resnet18'"),
        ("resnet18.a1_in1k", r"no tag such as .in1k.*--weights"),
        ("", r"timm has no model ''"),
    ):
        with pytest.raises(DriftproofError, match=message):
            load_model(f"timm:{name}")


@pytest.mark.parametrize(("package", "extra"), [("transformers", "hf"), ("timm", "timm")])
def test_a_missing_extra_is_named(package: str, extra: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DriftproofError, match=rf"needs {package}, .*pip install driftproof\[{extra}\]"):
        load_model(f"hf:{folder}" if extra == "hf" else "timm:resnet18")


def test_a_folders_network_is_evaluated_by_named_inputs(folder: Path) -> None:
    ids = torch.randint(0, 30, (20, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[::3, 5:] = 0
    model = load_model(f"hf:{folder}").model
    with torch.no_grad():
        labels = model(input_ids=ids, attention_mask=mask).logits.argmax(1)
    data = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    with dp.evaluate(model, data, presets=["ideal", "gaussian:0.5"], times="1s", chips=1) as record:
        cells = record.cells().set_index("preset")["value"]
        assert (cells["digital"], cells["ideal"]) == (100.0, 100.0)
        (run,) = record.runs().values()
    assert run.versions["transformers"] == transformers.__version__

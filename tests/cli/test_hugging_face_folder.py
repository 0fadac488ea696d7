"""A trained network of Hugging Face is written as a folder that can be evaluated, with a model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof.zoo import load_model
from driftproof.zoo._hf_folder import write_folder

transformers = pytest.importorskip("transformers")
Cli = Callable[..., tuple[int, str, str]]

DATA = """
import torch

def data():
    ids = torch.randint(0, 30, (24, 8), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids[:, 0] % 3}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(**sizes, vocab_size=30, max_position_embeddings=16, num_labels=3)
    folder = tmp_path / "small-bert"
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("# The card of the network before\n")
    return folder


def test_a_training_writes_a_folder_that_evaluate_reads(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(DATA)
    words = ("--data", "own.py:data", "--preset", "gaussian:0.05", "--epochs", 2, "--batch-size", 8)
    train = ("train", f"hf:{source}", *words, "--validation-chips", 1, "--out", "trained")
    code, out, err = cli(*train)
    assert code == 0, err
    assert "folder of Hugging Face with a model card: hf:trained" in out
    best = load_model(f"hf:{source}", Path("trained/best.safetensors")).model.state_dict()
    again = load_model("hf:trained").model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in best.items())
    plain = load_model(f"hf:{source}").model.state_dict()
    assert not all(torch.equal(value, again[name]) for name, value in plain.items())
    card = Path("trained/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# small-bert, trained with driftproof" in card
    assert "| epoch | strength | loss |" in card
    assert "| method | rwp |" in card
    assert "which has the best validation" in card
    assert Path("trained/tokenizer.json").read_text() == "{}"
    assert cli(*train)[0] == 0  # the same command goes on in its own folder
    evaluate = ("--data", "own.py:data", "--preset", "ideal", "--times", "1s", "--chips", 1, "--out", "record")
    code, _, err = cli("evaluate", "hf:trained", *evaluate)
    assert code == 0, err


def test_no_other_network_is_overwritten(cli: Cli, source: Path, tmp_path: Path) -> None:
    words = ("train", f"hf:{source}", "--data", "digits-train", "--epochs", 1, "--method", "plain", "--out")
    before = (source / "model.safetensors").read_bytes()
    code, _, err = cli(*words, source)
    assert code == 2
    assert "the network to train is in this folder" in " ".join(err.split())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    code, _, err = cli(*words, other)
    assert code == 2
    assert "another network is in this folder" in " ".join(err.split())
    assert (source / "model.safetensors").read_bytes() == before


def test_a_network_of_another_kind_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match="has no save_pretrained"):
        write_folder(source, tmp_path / "out", torch.nn.Linear(2, 2), rows=[], settings={}, note="")

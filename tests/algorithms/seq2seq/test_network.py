"""Encoders, decoders and attentions against finite differences, and their steps against their whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.network import seeded  # noqa: E402
from optml.algorithms.seq2seq.network import Translator  # noqa: E402
from optml.algorithms.seq2seq.tokens import Source, Target  # noqa: E402
from optml.algorithms.sequences.ragged import Sequences  # noqa: E402
from tests.algorithms.seq2seq.sample import hyperparameters  # noqa: E402

SOURCES = Sequences.of([[4, 5, 6], [7, 8], [9, 10, 4, 5, 11]])
TARGETS = Sequences.of([[4, 5, 6, 7], [8, 9], [10]])
TINY = {"num_embed_source": 3, "num_embed_target": 4, "rnn_num_hidden": 6, "cnn_num_hidden": 5}
KINDS: list[dict[str, Any]] = [
    {},
    {"rnn_cell_type": "gru", "rnn_attention_type": "dot"},
    {"rnn_attention_type": "dot", "rnn_attention_num_hidden": 5, "rnn_decoder_state_init": "zero"},
    {"rnn_attention_type": "bilinear", "num_layers_decoder": 3, "rnn_cell_type": "gru"},
    {
        "rnn_attention_type": "fixed",
        "rnn_decoder_state_init": "avg",
        "num_layers_decoder": 3,
        "num_layers_encoder": 3,
        "rnn_attention_in_upper_layers": False,
        "rnn_residual_connections": True,
        "rnn_first_residual_layer": 3,
    },
    {"decoder_type": "cnn", "cnn_num_hidden": 6, "num_layers_decoder": 2},
    {"encoder_type": "cnn", "num_layers_encoder": 2, "cnn_activation_type": "softrelu"},
    {
        "encoder_type": "cnn",
        "decoder_type": "cnn",
        "cnn_kernel_width_decoder": 2,
        "cnn_activation_type": "tanh",
    },
]


def network(kind: dict[str, Any]) -> Translator:
    with seeded(0):
        return Translator(hyperparameters(**(TINY | kind)), (12, 13)).double()


def loss(made: Translator, rows: list[int] | None = None) -> Any:
    numbers = np.array(rows if rows is not None else [0, 1, 2])
    source, target = (part.take(numbers) for part in (SOURCES, TARGETS))
    return made.losses(Source.of(source, "cpu"), Target.of(target, "cpu"))[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_are_those_of_finite_differences(kind: dict[str, Any]) -> None:
    made = network(kind)
    loss(made).backward()
    random = torch.Generator().manual_seed(0)
    for name, weight in made.named_parameters():
        assert weight.grad is not None, name
        way = torch.randn(weight.shape, generator=random, dtype=weight.dtype)
        values = []
        with torch.no_grad():
            for step in (1e-5, -2e-5, 1e-5):  # there, to the other side, and back
                weight += step * way
                values.append(float(loss(made)))
        slope = float((weight.grad * way).sum())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-7), name


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_padded_batch_costs_what_its_rows_cost_alone(kind: dict[str, Any]) -> None:
    made = network(kind)
    with torch.no_grad():
        alone = [float(loss(made, [row])) for row in range(3)]
        assert float(loss(made)) == pytest.approx(sum(alone), abs=1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_step_by_step_it_says_what_it_says_at_once(kind: dict[str, Any]) -> None:
    made = network(kind)
    with torch.no_grad():
        memory = made.encode(Source.of(SOURCES, "cpu"))
        state = made.decoder.begin(memory)
        said = [[2, *row, 3] for row in ([4, 5, 6, 7], [8, 9, 3, 3], [10, 3, 3, 3])]
        total = 0.0
        for step in range(5):
            ids = torch.tensor([row[step] for row in said])
            costs, state, weights = made.step(ids, state, memory, step)
            assert weights.sum(1).numpy() == pytest.approx(1)
            assert not weights[1, 2:].any()  # beyond the second source's end
            for row, length in enumerate((4, 2, 1)):
                if step <= length:
                    total += float(costs[row, said[row][step + 1]])
        assert total == pytest.approx(float(loss(made)), abs=1e-10)


def test_first_weights_are_as_wide_as_the_fan_allows() -> None:
    with seeded(1):
        made = Translator(hyperparameters(num_embed_source=50, rnn_num_hidden=64), (200, 200))
    assert float(made.source.detach().abs().max()) == pytest.approx((2.34 / 50) ** 0.5, rel=0.01)
    before = made.encoder.forward_layer.before  # type: ignore[union-attr]
    gate = before[:32].detach()
    torch.testing.assert_close(gate @ gate.T, torch.eye(32), atol=1e-5, rtol=0)
    with seeded(1):
        wide = Translator(hyperparameters(weight_init_type="uniform", weight_init_scale=0.1), (200, 200))
    assert 0.09 < float(wide.output.detach().abs().max()) <= 0.1
    assert not wide.output_bias.any()


def test_dropout_drops_in_training_alone() -> None:
    made = network(dict.fromkeys(("embed_dropout_source", "rnn_decoder_hidden_dropout"), 0.5))
    source, target = Source.of(SOURCES, "cpu"), Target.of(TARGETS, "cpu")
    random = torch.Generator().manual_seed(3)
    first, second = (float(made.losses(source, target, random)[0].detach()) for _ in range(2))
    random.manual_seed(3)
    assert float(made.losses(source, target, random)[0].detach()) == first
    assert first != second
    assert float(loss(made).detach()) == float(loss(made).detach())

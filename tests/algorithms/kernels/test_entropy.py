"""The cross entropy of a linear layer, against torch's of all logits at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cross_entropy, linear  # noqa: E402

from optml.algorithms.kernels import entropy  # noqa: E402
from optml.algorithms.kernels.entropy import cpu  # noqa: E402


def parts(n: int, h: int, v: int, dtype: Any = torch.float64) -> list[Any]:
    random = torch.Generator().manual_seed(n + h + v)
    shapes = ((n, h), (v, h), (v,))
    tensors = [torch.randn(shape, generator=random, dtype=dtype).requires_grad_() for shape in shapes]
    return [*tensors, torch.randint(0, v, (n,), generator=random)]


@pytest.mark.parametrize("room", [1, 300, 1 << 22])
@pytest.mark.parametrize("shape", [(37, 8, 50), (1, 1, 1), (5, 3, 2)])
def test_loss_slopes_and_hits_are_those_of_the_definition(
    shape: tuple[int, int, int], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entropy, "ROOM", room)
    *tensors, labels = parts(*shape)
    logits = linear(*tensors)
    expected = cross_entropy(logits, labels, reduction="sum")
    loss, hits = entropy.losses(*tensors, labels)
    torch.testing.assert_close(loss, expected)
    assert int(hits) == int((logits.argmax(1) == labels).sum())
    slopes = torch.autograd.grad(0.3 * loss, tensors)
    for slope, other in zip(slopes, torch.autograd.grad(0.3 * expected, tensors), strict=True):
        torch.testing.assert_close(slope, other)


def test_large_logits_overflow_nothing() -> None:
    hidden, weight = torch.tensor([[1000.0], [-1000.0]]), torch.tensor([[1.0], [-1.0], [0.5]])
    loss, hits = entropy.losses(hidden, weight, torch.zeros(3), torch.tensor([0, 1]))
    assert float(loss) == 0
    assert int(hits) == 2


def test_no_more_logits_are_there_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy, "ROOM", 64)
    seen: list[int] = []

    def turn(logits: Any, *others: Any) -> Any:
        seen.append(logits.numel())
        return cpu.turn(logits, *others)

    monkeypatch.setattr(entropy, "_path", lambda _: SimpleNamespace(turn=turn))
    *tensors, labels = parts(40, 4, 20)
    entropy.losses(*tensors, labels)
    assert max(seen) <= 64
    assert sum(seen) == 40 * 20


def test_without_tokens_it_is_nothing() -> None:
    *tensors, labels = parts(0, 3, 5)
    loss, hits = entropy.losses(*tensors, labels)
    assert float(loss.detach()) == 0
    assert int(hits) == 0

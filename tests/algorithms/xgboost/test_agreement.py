from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.base import Run, Setting
from optml.algorithms.xgboost import agreement
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.matrix import Channel
from optml.errors import UserError
from tests.algorithms.xgboost.runs import FEATURES, NUMBERS, Held, table, train


class Pair:
    """Two hosts, of which the other one has a channel of that width."""

    size, processes, rank = 2, 1, 0

    def __init__(self, width: int) -> None:
        self.width = width

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        return [array, np.array([[self.width, 3 * bool(self.width), 0]])]


@pytest.mark.parametrize(("media", "width", "common"), [("text/libsvm", 9, 9), ("text/csv", 0, 5)])
def test_hosts_agree_on_the_width_before_they_train(media: str, width: int, common: int) -> None:
    assert agree(media, width) == common


def test_hosts_with_rows_of_other_widths_are_refused() -> None:
    with pytest.raises(
        UserError, match="on host 2 of 2 has rows of 9 features, but channel 'train' on host 1 of 2 of 5"
    ):
        agree("text/csv", 9)


Y_A_B = ("y", "a", "b")


@pytest.mark.parametrize(
    ("mine", "others", "common"),
    [(Y_A_B, Y_A_B, ("a", "b")), (None, Y_A_B, ("a", "b")), (Y_A_B, None, ("a", "b")), (None, None, ())],
)
def test_hosts_agree_on_the_names_of_the_features(
    mine: tuple[str, ...] | None, others: tuple[str, ...] | None, common: tuple[str, ...]
) -> None:
    assert names(mine, others) == common


def test_hosts_whose_files_order_their_columns_otherwise_are_refused() -> None:
    with pytest.raises(
        UserError, match="column 2 is 'a' in the files of one host and 'b' in those of another"
    ):
        names(Y_A_B, ("y", "b", "a"))


def names(mine: tuple[str, ...] | None, others: tuple[str, ...] | None) -> tuple[str, ...]:
    class Other(Pair):
        def gather(self, array: np.ndarray) -> list[np.ndarray]:
            return [array, np.frombuffer(json.dumps(others or ()).encode(), np.uint8)]

    h = Hyperparameters(num_round=1)
    setting: Any = Setting(h, Other(0))  # type: ignore[arg-type]
    run = Run(setting, {"train": Held([], columns=mine)}, None, Path(), bool, print, print)
    return agreement.names(run, h, 2)


def test_quantiles_need_rows_on_every_host_or_a_place_to_begin() -> None:
    hyperparameters = {"objective": "reg:quantileerror", "quantile_alpha": (0.5,)}
    with pytest.raises(UserError, match="set base_score"):
        agree("text/csv", 0, **hyperparameters)
    assert agree("text/csv", 0, base_score=0.5, **hyperparameters) == 5


def test_a_validation_channel_without_a_row_is_refused(tmp_path: Path) -> None:
    data = {"train": table(FEATURES, NUMBERS), "validation": table(FEATURES[:0], NUMBERS[:0])}
    with pytest.raises(UserError, match="No data in validation channel path"):
        train(data, tmp_path)


@pytest.mark.parametrize("wide", [1 << 31, 1 << 40])
def test_more_features_than_the_machine_holds_are_refused(tmp_path: Path, wide: int) -> None:
    sparse = csr_array((np.ones(1, np.float32), ([0], [wide - 1])), shape=(2, wide))
    with pytest.raises(UserError, match=f"the largest index makes {wide} features"):
        train({"train": table(sparse, [0, 1])}, tmp_path)


def agree(media: str, width: int, **hyperparameters: Any) -> int | None:
    data = table(FEATURES, NUMBERS)
    data.media = media
    parsed = Hyperparameters(num_round=1, **hyperparameters)
    setting: Any = Setting(parsed, Pair(width))  # type: ignore[arg-type]
    run = Run(setting, {"train": data}, None, Path(), bool, print, print)
    return agreement.width(run, {"train": Channel("train", data, parsed)})

"""What training leaves and a server loads: one booster, or several that answer together."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms import artifact
from optml.algorithms.xgboost import boosters, selection
from optml.algorithms.xgboost.boosters import Native, Predictor
from optml.algorithms.xgboost.files import NAME, models
from optml.algorithms.xgboost.matrix import widen
from optml.errors import UserError
from optml.formats.records import Columns, Records

log = logging.getLogger(__name__)

_HINT = "send the features alone, in the order of training"
_HINTS = {1: "leave the label out", -1: "a feature lacks; what is missing is an empty cell"}
_INDICES = (
    "indices count from 0, and one is beyond those of training; if they count from 1 here and from 0 there, "
    "use text/libsvm;index_base=1"
)
VOTING = ("multi:softmax", "binary:hinge")  # answer with a class: the one that most boosters say


class Model:
    """members: the boosters; the answer is the mean of theirs, or the class that most of them say.
    selected: the keys of selectable inference; none: the plain score. feature_names: none where the data had
    none."""

    def __init__(
        self, members: Sequence[Predictor], keys: Sequence[str] = (), feature_names: Sequence[str] = ()
    ) -> None:
        self.members = list(members)
        self.feature_names = tuple(feature_names)
        self.width = members[0].width
        self._keys = tuple(keys)

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """`score`: (n,) float32, or (n, k) of objectives with k numbers a row; or the selected keys."""
        more = batch.width - self.width
        sparse = isinstance(batch.features, csr_array)
        if more > 0 or (more < 0 and not sparse):
            hint = _INDICES if sparse else _HINTS.get(more, _HINT)
            raise UserError(
                f"Feature size of inference data {batch.width} is not consistent with feature size of "
                f"trained model {self.width} ({batch.where(0)}): {hint}"
            )
        features = widen(batch.features, self.width)
        first = self.members[0]
        score = first.predict(features) if len(self.members) == 1 else self._together(features)
        if not self._keys:
            return {"score": score}
        return selection.select(score, first.objective, first.num_class, self._keys)

    def _together(self, features: np.ndarray) -> np.ndarray:
        answers = np.stack([member.predict(features) for member in self.members])
        if self.members[0].objective not in VOTING:
            mean: np.ndarray = answers.mean(axis=0, dtype=np.float64).astype(np.float32)
            return mean
        classes = np.unique(answers)
        votes = (answers[None] == classes[:, None, None]).sum(axis=1)  # (classes, n)
        winners: np.ndarray = classes[votes.argmax(axis=0)]  # of equals the smallest, as in scipy.stats.mode
        return winners

    def save(self, folder: Path) -> None:
        """`xgboost-model`, or `xgboost-model-0` and so on: nothing else, as AWS's container does."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, member in enumerate(self.members):
            if not isinstance(member, Native):
                raise TypeError("only boosters of the library are written")
            boosters.set_feature_names(member.booster, self.feature_names)
            name = NAME if len(self.members) == 1 else f"{NAME}-{number}"
            (folder / name).write_bytes(boosters.raw(member.booster))


def load(folder: Path, device: str) -> Model:
    """Load a model folder. Raises UserError saying what is wrong with it, PlatformError where the environment
    asks for an answer that its objective has not."""
    paths = models(folder)
    if not paths:
        raise UserError(f"{folder} holds no XGBoost model; expected {NAME}, found {artifact.listing(folder)}")
    if len(paths) > 1 and os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true").strip().lower() == "false":
        log.info("SAGEMAKER_INFERENCE_ENSEMBLE is false: of %d models %s answers", len(paths), paths[0].name)
        paths = paths[:1]
    members = [boosters.read(path, device) for path in paths]
    for path, member in zip(paths, members, strict=True):
        first = members[0]
        if (member.objective, member.width, member.num_class) != (
            first.objective,
            first.width,
            first.num_class,
        ):
            raise UserError(
                f"{path} ({member.objective}, {member.width} features) and {paths[0]} ({first.objective}, "
                f"{first.width} features) cannot answer together; remove one, or set "
                "SAGEMAKER_INFERENCE_ENSEMBLE=false"
            )
    first = members[0]
    names = boosters.feature_names(first.booster) if isinstance(first, Native) else ()
    keys = selection.keys_of(os.environ)
    selection.require(first.objective, keys)
    return Model(members, keys, names)

"""Hyperparameters of XGBoost: their fields, and the rules that hold between them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import model_validator

from optml.algorithms.xgboost import rules
from optml.algorithms.xgboost.fields import Fields
from optml.errors import UserError

log = logging.getLogger(__name__)


class Hyperparameters(Fields):
    """Only what was given goes to the library: its own defaults, published here, hold for the rest."""

    @classmethod
    def passes(cls, texts: Mapping[str, str]) -> bool:
        return texts.get("allow_native_hyperparameters", "").lower() == "true"

    @model_validator(mode="after")
    def _agree(self) -> Hyperparameters:
        problems = list(rules.problems(self))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def gpus(self, count: int) -> int:
        """One GPU, or all with use_dask_gpu_training. Raises UserError where a GPU was asked for in vain."""
        explicit = self.tree_method == "gpu_hist" or self.device.startswith("cuda")
        every = self.use_dask_gpu_training == "true"
        if self.device == "cpu":
            if every:
                raise UserError("use_dask_gpu_training=true trains on GPUs, but device is cpu: leave one out")
            return 0
        if not count and (explicit or every):
            name = (
                "use_dask_gpu_training=true"
                if every
                else "tree_method=gpu_hist"
                if self.tree_method == "gpu_hist"
                else f"device={self.device}"
            )
            raise UserError(f"{name} needs a GPU, and none is visible: use a GPU instance and image, or hist")
        if not explicit and (self.booster == "gblinear" or self.tree_method == "exact" or self.updater):
            return 0
        if count > 1 and not every:
            log.warning(
                "Not all GPUs on the instance will be used: use_dask_gpu_training=true trains on all %d",
                count,
            )
        return count if every else min(count, 1)

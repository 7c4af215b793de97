"""`model_algo-1.json`: how a model answers. Users may edit `k` and `predictor_type` after training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optml.algorithms.knn.reduction import RNG, Reduction
from optml.errors import UserError

VERSION = "1.0"  # of the file, as AWS's image writes it
PREDICTORS = ("classifier", "regressor")
METRICS = ("L2", "INNER_PRODUCT", "COSINE")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """index_metric, feature_dim, nprobe: None where the file does not tell, as AWS's.
    distance_sqrt: L2 distances are answered as they are, not squared."""

    k: int
    predictor_type: str
    reduction: Reduction | None = None
    normalize: bool = False
    index_type: str | None = None
    index_metric: str | None = None
    nprobe: int | None = None
    feature_dim: int | None = None
    pad_dim: int | None = None  # of the points in the index
    distance_sqrt: bool = False

    def write(self, path: Path) -> None:
        reduction = self.reduction
        content = {
            "k": self.k,
            "predictor_type": self.predictor_type,
            "dimension_reduction": reduction
            and {
                "type": reduction.kind,
                "seed": reduction.seed,
                "target_dim": reduction.target_dim,
                "input_dim": reduction.input_dim,
            },
            "normalize": self.normalize,
            "version": VERSION,
            "index_type": self.index_type,
            "index_metric": self.index_metric,
            "nprobe": self.nprobe,
            "feature_dim": self.feature_dim,
            "pad_dim": self.pad_dim,
            "rng": reduction and RNG,
            "distance_sqrt": self.distance_sqrt,
        }
        ours = ("nprobe", "rng")  # left out where they mean nothing
        entries = {key: value for key, value in content.items() if value is not None or key not in ours}
        path.write_text(json.dumps(entries) + "\n")


def read(path: Path) -> ModelSettings:
    """Read the file. Raises UserError naming the key that is wrong."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is no valid JSON: {error}; booleans are true and false") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object; expected keys such as k and predictor_type")
    keys = _Keys(path, content)
    return ModelSettings(
        k=keys.count("k", required=True) or 0,
        predictor_type=keys.word("predictor_type", PREDICTORS, required=True) or "",
        reduction=_reduction(keys),
        normalize=keys.flag("normalize"),
        index_type=keys.word("index_type"),
        index_metric=keys.word("index_metric", METRICS),
        nprobe=keys.count("nprobe"),
        feature_dim=keys.count("feature_dim"),
        pad_dim=keys.count("pad_dim"),
        distance_sqrt=keys.flag("distance_sqrt"),
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    path: Path
    content: Mapping[str, Any]
    within: str = ""  # the key whose object this is, and a dot

    def count(self, key: str, *, required: bool = False, least: int = 1) -> int | None:
        value = self.content.get(key)
        if value is None and not required:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"an integer >= {least}")
        return value

    def word(self, key: str, words: tuple[str, ...] = (), *, required: bool = False) -> str | None:
        value = self.content.get(key)
        if value is None and not required:
            return None
        if not isinstance(value, str) or (words and value not in words):
            raise self.wrong(key, f"one of {', '.join(words)}" if words else "text")
        return value

    def flag(self, key: str) -> bool:
        value = self.content.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return bool(value)

    def wrong(self, key: str, expected: str) -> UserError:
        value = json.dumps(self.content[key])[:100] if key in self.content else "missing"
        return UserError(f"{self.path}: key '{self.within}{key}' is {value}; expected {expected}")


def _reduction(keys: _Keys) -> Reduction | None:
    value = keys.content.get("dimension_reduction")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise keys.wrong(
            "dimension_reduction", "null, or an object with type, seed, target_dim and input_dim"
        )
    if keys.content.get("rng") != RNG:
        raise UserError(
            f"{keys.path}: the random matrix of 'dimension_reduction' is made again from its seed, but key "
            f"'rng' does not say '{RNG}': another program trained this model, with a generator that is not "
            "known here; train again with optml, or without dimension reduction"
        )
    inner = _Keys(keys.path, value, "dimension_reduction.")
    kind = inner.word("type", ("sign", "fjlt"), required=True)
    numbers = [
        inner.count(key, required=True, least=least)
        for key, least in (("seed", 0), ("target_dim", 1), ("input_dim", 1))
    ]
    return Reduction(kind, *numbers)  # type: ignore[arg-type]  # checked

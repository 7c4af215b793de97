"""Slug -> algorithm, imported only when asked for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from algorithms.base import Algorithm
from algorithms.errors import UserError

# Every algorithm of the family, by the name of its repository at AWS; None: not built yet.
MODULES: dict[str, str | None] = {
    "linear-learner": "algorithms.linear_learner",
    "xgboost": "algorithms.xgboost",
    "seq2seq": None,
    "forecasting-deepar": "algorithms.forecasting_deepar",
    "blazingtext": "algorithms.blazingtext",
    "object2vec": None,
    "object-detection": None,
    "image-classification": None,
    "semantic-segmentation": None,
    "randomcutforest": "algorithms.random_cut_forest",
    "ntm": "algorithms.ntm",
    "lda": None,
    "knn": "algorithms.knn",
    "kmeans": "algorithms.kmeans",
    "pca": "algorithms.pca",
    "factorization-machines": "algorithms.factorization_machines",
    "ipinsights": "algorithms.ip_insights",
}


def chosen(environment: Mapping[str, str]) -> str | None:
    """The slug in OPTML_ALGORITHM; None where it is empty or `all`, as in images of every algorithm."""
    slug = environment.get("OPTML_ALGORITHM", "").strip()
    return slug if slug not in ("", "all") else None


def available() -> list[str]:
    """The slugs that can be trained and served, in alphabetical order."""
    return sorted(slug for slug, module in MODULES.items() if module)


def get(slug: str) -> Algorithm:
    """The algorithm of that slug. Raises UserError naming the nearest slug."""
    module = MODULES.get(slug)
    if module:
        algorithm: Algorithm = import_module(module).ALGORITHM
        return algorithm
    if slug in MODULES:
        raise UserError(f"algorithm '{slug}' is not built yet; available: {', '.join(available())}")
    near = difflib.get_close_matches(slug, MODULES, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(f"there is no algorithm '{slug}'; {hint}available: {', '.join(available())}")


def recognise(folder: Path) -> str | None:
    """The slug of the algorithm that wrote a model folder: by model.json, else by its content."""
    try:
        named = json.loads((folder / "model.json").read_text()).get("algorithm")
    except (OSError, ValueError, AttributeError):
        named = None
    if isinstance(named, str):
        return named
    return next((slug for slug in available() if get(slug).recognises(folder)), None)

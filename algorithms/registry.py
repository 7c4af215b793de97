"""Slug -> algorithm, imported only when asked for."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from optml.errors import UserError

if TYPE_CHECKING:  # whoever only asks for names needs none of what algorithms are made of
    from optml.algorithms.base import Algorithm

# Every algorithm of the family, by the name of its repository at AWS.
MODULES: dict[str, str] = {
    "linear-learner": "optml.algorithms.linear_learner",
    "xgboost": "optml.algorithms.xgboost",
    "seq2seq": "optml.algorithms.seq2seq",
    "forecasting-deepar": "optml.algorithms.forecasting_deepar",
    "blazingtext": "optml.algorithms.blazingtext",
    "object2vec": "optml.algorithms.object2vec",
    "object-detection": "optml.algorithms.object_detection",
    "image-classification": "optml.algorithms.image_classification",
    "semantic-segmentation": "optml.algorithms.semantic_segmentation",
    "randomcutforest": "optml.algorithms.random_cut_forest",
    "ntm": "optml.algorithms.ntm",
    "lda": "optml.algorithms.lda",
    "knn": "optml.algorithms.knn",
    "kmeans": "optml.algorithms.kmeans",
    "pca": "optml.algorithms.pca",
    "factorization-machines": "optml.algorithms.factorization_machines",
    "ipinsights": "optml.algorithms.ip_insights",
}

# What else people call them, in lower case, without what parts words: `word-2-vec` is `word2vec`. Not here:
# the slugs themselves, and the SDK's classes (KMeans, RandomCutForest, ...), which so become slugs.
ALIASES: dict[str, str] = {
    "linear": "linear-learner",
    "xgb": "xgboost",
    "sagemakerxgboost": "xgboost",  # the repository
    "extremegradientboosting": "xgboost",
    "s2s": "seq2seq",
    "sequencetosequence": "seq2seq",
    "deepar": "forecasting-deepar",
    "deeparforecasting": "forecasting-deepar",
    "word2vec": "blazingtext",
    "fasttext": "blazingtext",
    "obj2vec": "object2vec",
    "objecttovec": "object2vec",
    "ssd": "object-detection",
    "objectdetector": "object-detection",
    "imageclassifier": "image-classification",
    "segmentation": "semantic-segmentation",
    "rcf": "randomcutforest",
    "neuraltopicmodel": "ntm",
    "neuraltopicmodeling": "ntm",
    "latentdirichletallocation": "lda",
    "kneighbors": "knn",
    "knearestneighbor": "knn",
    "knearestneighbors": "knn",
    "principalcomponentanalysis": "pca",
    "principalcomponentsanalysis": "pca",
    "fm": "factorization-machines",
    "factorizationmachine": "factorization-machines",
    "factorisationmachines": "factorization-machines",
    "ipinsight": "ipinsights",
}

_PARTS = re.compile(r"[-_. ]+")


def canonical(name: str) -> str | None:
    """The slug of an algorithm by any of its names: `Random_Cut_Forest` and `rcf` are `randomcutforest`; None
    for a name of none."""
    joined = _joined(name)
    return ALIASES.get(joined) or next((slug for slug in MODULES if _joined(slug) == joined), None)


def _joined(name: str) -> str:
    return _PARTS.sub("", name.strip().lower())


# Variables of the environment that models read, each with an algorithm whose `Inference.variables` reads it.
VARIABLES = {
    "DEEPAR_INFERENCE_CONFIG": "forecasting-deepar",
    "OPTML_MAX_PIXELS": "image-classification",
    "OPTML_MAX_SIDE": "semantic-segmentation",
    "OPTML_SCORE_THRESHOLD": "object-detection",
    "OPTML_XGB_CSV_JOIN": "xgboost",
    "SAGEMAKER_INFERENCE_ENSEMBLE": "xgboost",
    "SAGEMAKER_INFERENCE_OUTPUT": "xgboost",
}


def chosen(environment: Mapping[str, str]) -> str | None:
    """The slug in OPTML_ALGORITHM, by any name of it; None where it is empty or `all`, as in images of every
    algorithm."""
    name = environment.get("OPTML_ALGORITHM", "").strip()
    if name.lower() in ("", "all"):
        return None
    return canonical(name) or name


def available() -> list[str]:
    """The slugs that can be trained and served, in alphabetical order."""
    return sorted(MODULES)


def get(name: str) -> Algorithm:
    """The algorithm of that slug, or of another name of it. Raises UserError naming the nearest slug."""
    slug = canonical(name)
    if slug is None:
        raise unknown(name, available())
    module = MODULES[slug]
    algorithm: Algorithm = import_module(module).ALGORITHM
    return algorithm


def unknown(name: str, slugs: Sequence[str]) -> UserError:
    """The error for a name of no algorithm: the one perhaps meant, and the slugs that there are."""
    names = {_joined(slug): slug for slug in MODULES} | ALIASES
    near = difflib.get_close_matches(_joined(name), names, n=1)
    hint = f"did you mean '{names[near[0]]}'? " if near else ""
    return UserError(f"there is no algorithm '{name}'; {hint}available: {', '.join(slugs)}")


def recognise(folder: Path) -> str | None:
    """The slug of the algorithm that wrote a model folder: by model.json, else by its content."""
    path = folder / "model.json"
    try:  # no regular file, such as a FIFO, would be waited for
        named = json.loads(path.read_text()).get("algorithm") if path.is_file() else None
    except (OSError, ValueError, AttributeError):
        named = None
    if isinstance(named, str):
        return named
    return next((slug for slug in available() if get(slug).inference.recognises(folder)), None)

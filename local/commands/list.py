"""`optml list`: the algorithms and how far they are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from optml.algorithms.registry import MODULES

TITLES = {
    "linear-learner": "Linear Learner",
    "xgboost": "XGBoost",
    "seq2seq": "Sequence-to-Sequence",
    "forecasting-deepar": "DeepAR Forecasting",
    "blazingtext": "BlazingText",
    "object2vec": "Object2Vec",
    "object-detection": "Object Detection",
    "image-classification": "Image Classification",
    "semantic-segmentation": "Semantic Segmentation",
    "randomcutforest": "Random Cut Forest",
    "ntm": "Neural Topic Model",
    "lda": "Latent Dirichlet Allocation",
    "knn": "K-Nearest Neighbors",
    "kmeans": "K-Means",
    "pca": "Principal Component Analysis",
    "factorization-machines": "Factorization Machines",
    "ipinsights": "IP Insights",
}


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("--all", action="store_true", help="also those that are still planned")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    shown = [
        {"slug": slug, "title": TITLES[slug], "state": "ready" if module else "planned"}
        for slug, module in sorted(MODULES.items())
        if module or args.all
    ]
    if args.json:
        print(json.dumps(shown, indent=1))
        return 0
    width = max(len(entry["slug"]) for entry in shown)
    for entry in shown:
        print(f"{entry['slug']:<{width}}  {entry['state']:<7}  {entry['title']}")
    return 0

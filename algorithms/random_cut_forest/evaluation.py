"""How well scores tell labelled anomalies from other rows."""

from __future__ import annotations

import numpy as np

SIGMAS = 3  # above the mean of the scores a row counts as an anomaly


def threshold(scores: np.ndarray) -> float:
    """Mean plus three (population) standard deviations."""
    return float(scores.mean() + SIGMAS * scores.std())


def measure(scores: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """All metrics of (n,) scores and (n,) true or false labels; 0 / 0 counts as 0.

    `negative_*` are those of the other rows as the class looked for. `roc_auc` is the chance that an anomaly
    scores higher than another row, ties counting half (Mann and Whitney); it depends on no threshold and is
    missing where there is but one class.
    """
    flags = scores > threshold(scores)
    metrics = {"accuracy": float((flags == anomalous).mean())}
    for prefix, claims, true in (("", flags, anomalous), ("negative_", ~flags, ~anomalous)):
        hits = int((claims & true).sum())
        metrics |= {
            f"{prefix}precision": hits / max(int(claims.sum()), 1),
            f"{prefix}recall": hits / max(int(true.sum()), 1),
            f"{prefix}f1": 2 * hits / max(int(claims.sum() + true.sum()), 1),
        }
    positive, negative = int(anomalous.sum()), int((~anomalous).sum())
    if positive and negative:
        sorted_scores = np.sort(scores)
        ranks = (
            np.searchsorted(sorted_scores, scores, "left")
            + np.searchsorted(sorted_scores, scores, "right")
            + 1
        )
        wins = ranks[anomalous].sum() / 2 - positive * (positive + 1) / 2
        metrics["roc_auc"] = float(wins / (positive * negative))
    return metrics

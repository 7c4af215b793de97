"""How well vectors tell similar words: Spearman's rank correlation with human scores, as for WordSim-353.

Finkelstein et al., "Placing Search in Context: The Concept Revisited", 2002; Agirre et al., NAACL 2009, for
the split into related and similar pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.blazingtext.vectors import Lookup, WordVectors
from optml.errors import UserError


@dataclass(frozen=True, slots=True)
class Pairs:
    """A file of scored pairs of words."""

    name: str
    first: list[bytes]
    second: list[bytes]
    scores: list[float]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def parse(cls, text: bytes, name: str) -> Pairs:
        """Lines of two words and a number, parted by tabs, commas or blanks; lines that begin with # and a
        header are passed over. Words are taken in lower case. Raises UserError, naming the line."""
        pairs = cls(name.rpartition("/")[2], [], [], [])
        for number, line in enumerate(text.splitlines(), 1):
            parts = line.replace(b",", b" ").split() if b"\t" not in line else line.strip().split(b"\t")
            if not parts or line.startswith(b"#"):
                continue
            try:
                score = float(parts[2])
            except (IndexError, ValueError):
                if number == 1:
                    continue
                raise UserError(
                    f"line {number} of {name} must hold two words and a score, as in 'tiger cat 7.35'"
                ) from None
            pairs.first.append(_lower(parts[0]))
            pairs.second.append(_lower(parts[1]))
            pairs.scores.append(score)
        return pairs


def evaluate(model: WordVectors, files: Iterable[Pairs]) -> dict[str, Any]:
    """What eval.json holds: for each file pairs left out, the correlation (0 where no pair is known), pairs;
    and the mean of the correlations."""
    from scipy.stats import rankdata

    scores: dict[str, Any] = {}
    for pairs in files:
        known = [
            place
            for place in range(len(pairs))
            if model.known(pairs.first[place]) and model.known(pairs.second[place])
        ]
        rho = 0.0
        if len(known) > 1:
            sides = (pairs.first, pairs.second)
            one, two = (
                np.asarray(model.predict(Lookup([side[place] for place in known]), {})["vector"], np.float64)
                for side in sides
            )
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
            cosines = (one * two).sum(axis=1) / np.maximum(lengths, 1e-30)
            ranks = rankdata(cosines), rankdata(np.array(pairs.scores)[known])
            spread = float(np.std(ranks[0]) * np.std(ranks[1]))
            rho = float(np.cov(*ranks, bias=True)[0, 1] / spread) if spread else 0.0
        scores[pairs.name] = {
            "not_found": len(pairs) - len(known),
            "spearmans_rho": rho,
            "total_pairs": len(pairs),
        }
    rhos = [entry["spearmans_rho"] for entry in scores.values()]
    return scores | {"mean_rho": float(np.mean(rhos)) if rhos else 0.0}


def _lower(word: bytes) -> bytes:
    return word.strip().decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")

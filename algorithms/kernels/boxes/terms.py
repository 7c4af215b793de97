"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # a torch tensor; torch's own name would bring torch's types into mypy
Variances: TypeAlias = tuple[float, float, float, float]

LEAST = 1e-6  # an anchor is given to a truth for no less IoU
NEITHER = -1  # the label of an anchor that is no example, the class of a truth or a detection that is none

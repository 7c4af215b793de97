"""Are the arrays of an artifact all of a network, and numbers?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from optml.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Of parameters and buffers by name; the module may be one of device `meta`, which costs nothing."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def whole(
    arrays: Mapping[str, np.ndarray], expected: Shapes, folder: Path, what: str
) -> dict[str, np.ndarray]:
    """Those of a network, without others. Raises UserError for one that is missing, of another shape, or not
    finite.

    what: the network, for the message: "ResNet-18 ... of 3 classes"."""
    wrong = [name for name, shape in expected.items() if name not in arrays or arrays[name].shape != shape]
    if wrong:
        held = arrays[wrong[0]].shape if wrong[0] in arrays else "none"
        raise UserError(
            f"{folder} holds no whole {what}: {len(wrong)} arrays are missing or of another shape, "
            f"{wrong[0]} first ({held}, expected {expected[wrong[0]]})"
        )
    infinite = [name for name in expected if not np.isfinite(arrays[name]).all()]
    if infinite:
        raise UserError(
            f"{folder}: {infinite[0]} holds numbers that are not finite: the training has diverged"
        )
    return {name: arrays[name] for name in expected}


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Copies as float32 tensors, for `load_state_dict`."""
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in arrays.items()}

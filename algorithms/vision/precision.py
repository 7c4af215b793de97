"""Half precision in training: which numbers, and the scale of the loss where they are float16.

Weights, their gradients' sums and running statistics stay float32 (Micikevicius et al., "Mixed Precision
Training", ICLR 2018).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from optml.algorithms.network import Network

log = logging.getLogger(__name__)

LARGEST, PATIENCE = 2.0**16, 2000  # of the scale; updates without infinity after which it is doubled


def half(device: str) -> torch.dtype | None:
    """The half precision that a device computes in: bfloat16 where it has it; on a CPU without it None."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _has_bf16() else None


def _has_bf16() -> bool:
    """Does the CPU multiply bfloat16? Where it does not, the library does it in several steps, more
    slowly."""
    return any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


class Precision:
    """dtype: of the activations; None: float32, and all that is here does nothing."""

    def __init__(self, dtype: torch.dtype | None, device: str) -> None:
        self.dtype = dtype
        self._device = torch.device(device).type
        self.scale = LARGEST if dtype is torch.float16 else 1.0
        self._good = 0  # updates since the scale last changed

    @classmethod
    def asked(cls, name: str, device: str) -> Precision:
        """float32 or float16, as hyperparameters have it; a CPU that has no half precision is warned of."""
        dtype = half(device) if name == "float16" else None
        if name == "float16" and dtype is None:
            log.warning("precision_dtype is float16, but this CPU has no bfloat16: training in float32")
        elif dtype is not None:
            log.info("Half precision: %s, weights in float32", str(dtype).removeprefix("torch."))
        return cls(dtype, device)

    def inside(self) -> contextlib.AbstractContextManager[object]:
        """Within, the network computes in `dtype`."""
        return torch.autocast(self._device, self.dtype) if self.dtype else contextlib.nullcontext()

    def step(self, network: Network, count: float) -> None:
        """Let the optimizer use the gradient of a sum over `count` images or cells, times `scale`, as that of
        their mean; 0: of all hosts none has any, and nothing is updated."""
        if not count:
            return
        gradients = [p.grad for p in network.module.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, 1 / (count * self.scale))
        if self.finite(network.module.parameters()):
            network.step()

    def finite(self, parameters: Iterable[torch.nn.Parameter]) -> bool:
        """Are the gradients, which the scale was divided out of? Without it, in float16, the update is left
        out and the scale halved; on all hosts alike, for the gradients are the sums of all."""
        if self.dtype is not torch.float16:
            return True
        sums = torch.stack([p.grad.sum() for p in parameters if p.grad is not None])
        if bool(torch.isfinite(sums).all()):
            self._good += 1
            if self._good >= PATIENCE:
                self.scale, self._good = min(2 * self.scale, LARGEST), 0
            return True
        self.scale, self._good = self.scale / 2, 0
        return False

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"precision": np.array([self.scale, self._good])}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.scale, good = state["precision"].tolist()
        self._good = int(good)

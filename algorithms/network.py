"""A torch module in training: its parameters and its optimiser, the same on every host.

What the neural learners share. Their mathematics, losses and schedules are their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from threading import Lock

import numpy as np
import torch

from optml.algorithms.base import Setting

# Multiply-adds of a product that are worth a thread of torch's on the CPU: some milliseconds. Where products
# are smaller, threads wait for one another at each of the many small operations about them.
PER_THREAD = 1 << 26

_turn = Lock()  # torch has one generator for all threads of a process


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make a module inside: its first parameters depend on the seed alone, whatever the device and the host.
    Made on the CPU; what else of the process draws random numbers is not disturbed."""
    with _turn, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def threads(size: int) -> Iterator[None]:
    """Inside, torch uses as many threads on the CPU as products of `size` multiply-adds are worth."""
    before = torch.get_num_threads()
    chosen = min(max(size // PER_THREAD, 1), before)
    if chosen < before:
        torch.set_num_threads(chosen)
    try:
        yield
    finally:
        if chosen < before:
            torch.set_num_threads(before)


class Network:
    """A module, its optimiser, and the number of updates made.

    One update is `gradient`, whatever the learner does to it (scale, clip, decay), then `step`. Parameters
    are float32 on `setting.device`; hosts that begin alike stay alike.
    """

    def __init__(self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, setting: Setting) -> None:
        self.module = module
        self.optimizer = optimizer
        self.updates = 0
        self._cluster = setting.cluster
        self._seed = setting.seed
        self._device = torch.device(setting.device)
        self._generator = torch.Generator(self._device)
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def random(self) -> torch.Generator:
        """Random numbers of the coming update on this host, on the device. They depend on the seed, the host
        and the number of the update, so a resumed job draws what it would have drawn."""
        sequence = np.random.SeedSequence((self._seed, self._cluster.rank, self.updates))
        self._generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
        return self._generator

    def gradient(self, loss: torch.Tensor | None, *numbers: float) -> list[float]:
        """Leave in `grad` of every parameter the gradient of the sum of all hosts' losses, and return the
        sums of their `numbers` (samples, points, losses: whatever a mean is to be taken over).

        A host without a batch gives None. Holds a collective.
        """
        for parameter in self._parameters:
            parameter.grad = None
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        sums = np.array(numbers, np.float64)
        if self._cluster.size > 1:
            for parameter in self._parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).cpu().numpy()
            self._cluster.all_sum(flat, sums)
            summed, begin = torch.from_numpy(flat).to(self._device), 0
            for gradient in gradients:
                gradient.copy_(summed[begin : begin + gradient.numel()].view_as(gradient))
                begin += gradient.numel()
        return [float(value) for value in sums]

    def step(self) -> None:
        """Let the optimiser use the gradients."""
        self.optimizer.step()
        self.updates += 1

    def arrays(self) -> dict[str, np.ndarray]:
        """The module's parameters and buffers by name, copied to NumPy."""
        return {name: _array(tensor) for name, tensor in self.module.state_dict().items()}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters, buffers, the optimiser's tensors and the count of updates."""
        state = {f"module.{name}": array for name, array in self.arrays().items()}
        for place, values in self.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                state[f"optimizer.{place}.{name}"] = _array(torch.as_tensor(value))
        return state | {"updates": np.array(self.updates)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state_dict` gave; other keys are left alone. Learning rates stay as they are."""
        module: dict[str, torch.Tensor] = {}
        places: dict[int, dict[str, torch.Tensor]] = {}
        for key, array in state.items():
            kind, _, name = key.partition(".")
            if kind == "module":
                module[name] = torch.from_numpy(np.array(array))
            elif kind == "optimizer":
                place, _, name = name.partition(".")
                places.setdefault(int(place), {})[name] = torch.from_numpy(np.array(array))
        self.module.load_state_dict(module)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": places, "param_groups": groups})
        self.updates = int(state["updates"])


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy())

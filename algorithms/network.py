"""A torch module in training: its parameters and its optimiser, the same on every host.

What the neural learners share. Their mathematics, losses and schedules are their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock

import numpy as np
import torch

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster

# Multiply-adds of a product that are worth a thread of torch's on the CPU: some milliseconds. Where products
# are smaller, threads wait for one another at each of the many small operations about them.
PER_THREAD = 1 << 26

BUCKET = 1 << 22  # numbers that are added up over the hosts at once, but for larger parameters

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


class Gradients:
    """The gradients of parameters that several hosts share, as views of a few flat buckets.

    Each bucket is added up over the hosts while backward goes on, as soon as it and those before it are
    filled, so that all hosts add up in the same order. Layers are filled from the last to the first."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], cluster: Cluster) -> None:
        self._cluster = cluster
        self._buckets: list[list[torch.nn.Parameter]] = []
        room = 0
        for parameter in reversed(parameters):
            if parameter.numel() > room or not self._buckets:
                self._buckets.append([])
                room = BUCKET
            self._buckets[-1].append(parameter)
            room -= parameter.numel()
        self._flat = [torch.cat([p.detach().reshape(-1) for p in bucket]) for bucket in self._buckets]
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                hook = partial(self._filled, number)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        self._missing: list[int] = []  # gradients of each bucket that backward has not reached
        self._sums: list[Callable[[], None]] = []  # of the buckets that are being added up

    def begin(self) -> None:
        """Before backward: all gradients are zero."""
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sums = []
        for flat, bucket in zip(self._flat, self._buckets, strict=True):
            flat.zero_()
            start = 0
            for parameter in bucket:
                # in the parameter's own order of memory, which of convolutions may be channels_last
                parameter.grad = flat.as_strided(parameter.shape, parameter.stride(), start)
                start += parameter.numel()

    def finish(self) -> None:
        """After backward, or without it: add up what is left, and wait for all sums."""
        while len(self._sums) < len(self._flat):
            self._add_up()
        for wait in self._sums:
            wait()

    def _filled(self, number: int, parameter: torch.Tensor) -> None:
        self._missing[number] -= 1
        while len(self._sums) < len(self._flat) and self._missing[len(self._sums)] == 0:
            self._add_up()

    def _add_up(self) -> None:
        self._sums.append(self._cluster.sum_beside(self._flat[len(self._sums)]))


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
        self._gradients = Gradients(self._parameters, self._cluster) if self._cluster.size > 1 else None

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
        if self._gradients is not None:
            self._gradients.begin()
        else:
            for parameter in self._parameters:
                parameter.grad = None
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        if self._gradients is None:
            return [float(value) for value in numbers]
        self._gradients.finish()
        sums = np.array(numbers, np.float64)
        self._cluster.all_sum(sums)
        return [float(value) for value in sums]

    def average_buffers(self) -> None:
        """Replace running statistics by their mean over the hosts. Holds a collective."""
        for buffer in self.module.buffers():
            if self._cluster.size > 1 and buffer.is_floating_point():
                self._cluster.sum_beside(buffer)()
                buffer /= self._cluster.size

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
        # In their parameter's order of memory (channels_last of convolutions): fused steps take it for
        # granted.
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, values in places.items():
            like = parameters[number]
            for name, value in values.items():
                if value.shape == like.shape:
                    values[name] = torch.empty_like(like, dtype=value.dtype).copy_(value)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": places, "param_groups": groups})
        self.updates = int(state["updates"])


def _array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in C order, whatever the order in memory was: writers of files take it for granted."""
    return np.array(tensor.detach().cpu().numpy(), order="C")

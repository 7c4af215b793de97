"""The arrays of a topic model, and the names that artifacts have for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from optml.errors import UserError

Layer = tuple[np.ndarray, np.ndarray]  # weight (out, in) and bias (out,), float32


@dataclass(frozen=True, slots=True)
class Names:
    """How an artifact names its layers; {0}: number of the encoder's layer, {1}: weight or bias."""

    encoder: str
    mu: str
    logsigma: str
    projection: str


OURS = Names("encoder.{0}.{1}", "mu.{1}", "logsigma.{1}", "projection.{1}")
AWS = Names("enc_{0}_{1}", "mean_{1}", "logsigma_{1}", "projection_{1}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """encoder: layers (sizes[0], words), (sizes[1], sizes[0]), ...   mu, logsigma: (topics, sizes[-1]).
    projection: (words, topics), whose column k is topic k.   activation: sigmoid, tanh or relu."""

    encoder: tuple[Layer, ...]
    mu: Layer
    logsigma: Layer
    projection: Layer
    activation: str

    @property
    def words(self) -> int:
        return int(self.projection[0].shape[0])

    @property
    def topics(self) -> int:
        return int(self.projection[0].shape[1])

    def arrays(self, names: Names) -> dict[str, np.ndarray]:
        return {
            name.format(number, kind): array
            for number, name, layer in self._layers(names)
            for kind, array in zip(("weight", "bias"), layer, strict=True)
        }

    def _layers(self, names: Names) -> Iterator[tuple[int, str, Layer]]:
        for number, layer in enumerate(self.encoder):
            yield number, names.encoder, layer
        yield 0, names.mu, self.mu
        yield 0, names.logsigma, self.logsigma
        yield 0, names.projection, self.projection

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], names: Names, activation: str, where: str) -> Parameters:
        """Raises UserError, naming `where`, for an array that is missing, ill-shaped or not finite."""

        def layer(name: str, number: int = 0) -> Layer:
            weight, bias = (_array(arrays, name.format(number, kind), where) for kind in ("weight", "bias"))
            if weight.ndim != 2 or bias.shape != weight.shape[:1]:
                raise UserError(
                    f"{where}: {name.format(number, 'weight')} has shape {weight.shape} and its bias "
                    f"{bias.shape}; expected (out, in) and (out,)"
                )
            return weight, bias

        encoder = [layer(names.encoder)]
        for number in count(1):
            if names.encoder.format(number, "weight") not in arrays:
                break
            encoder.append(layer(names.encoder, number))
        parameters = cls(
            tuple(encoder), layer(names.mu), layer(names.logsigma), layer(names.projection), activation
        )
        widths = [parameters.words, *(len(weight) for weight, _ in encoder)]
        layers = [*encoder, parameters.mu, parameters.logsigma]
        expected = [(after, before) for before, after in pairwise(widths)]
        expected += [(parameters.topics, widths[-1])] * 2
        shapes = [weight.shape for weight, _ in layers]
        if shapes != expected:
            raise UserError(
                f"{where}: the layers do not fit one another: with a projection of shape "
                f"{parameters.projection[0].shape} expected weights of {expected}, found {shapes}"
            )
        return parameters


def _array(arrays: Mapping[str, np.ndarray], name: str, where: str) -> np.ndarray:
    if name not in arrays:
        names = ", ".join(sorted(arrays)) or "none"
        raise UserError(f"{where} lacks '{name}'; its arrays: {names}")
    array = arrays[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise UserError(f"{where}: {name} must hold finite floats")
    return np.ascontiguousarray(array, np.float32)

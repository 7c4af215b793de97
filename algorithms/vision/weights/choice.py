"""Pretrained weights, taken by what network they are of, not by name, from the places that a job may have
them in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from optml.algorithms.vision.weights import files
from optml.algorithms.vision.weights.files import Weights
from optml.errors import UserError

log = logging.getLogger(__name__)

CHANNEL, VARIABLE = "channel 'pretrained'", "OPTML_PRETRAINED_DIR"  # the places, in the order of their use


class MissingError(UserError):
    """There is no file of weights that fits."""


def choose(
    places: Mapping[str, Path],
    fits: Callable[[Weights], bool],
    wanted: str,
    fetch: str,
    rank: Callable[[Weights], int] = lambda weights: ("pre", "post").index(weights.naming.layout),
) -> Weights:
    """The weights that fit, from the first place that has some; there those of the lowest rank, and of these
    the first by name.

    places: name for messages -> folder, in their order.   wanted: what would fit, for a message.
    fetch: the name of a published file that would. Raises MissingError that says what each place holds and
    what cures it, UserError for a file that is damaged.
    """
    shown = {"channel 'model'": "was not given", CHANNEL: "was not given", VARIABLE: "is not set"}
    for place, folder in places.items():
        every = [files.read(path) for path in files.within(folder)]
        fitting = [weights for weights in every if fits(weights)]
        fitting.sort(key=rank)
        if fitting:
            chosen = fitting[0]
            others = ", ".join(str(weights) for weights in fitting[1:])
            log.info("Pretrained weights are taken from %s: %s", place, chosen)
            if others:
                log.info("These would do as well and are left: %s", others)
            return chosen
        closed = files.pickles(folder)
        held = "; ".join(map(str, every)) or "no .safetensors and no .params"
        if closed:
            held += (
                f"; {closed[0].name} is a pickle, which only `optml weights convert {closed[0].name} "
                f"{closed[0].stem}.safetensors` opens"
            )
        shown[place] = f"({folder}) holds {held}"
    listed = "; ".join(f"{place} {what}" for place, what in shown.items())
    raise MissingError(
        f"no weights of {wanted} are at hand: {listed}. Where there is a network, `optml weights fetch "
        f"{fetch} "
        f"--to DIR` gets some: give DIR as channel 'pretrained', or name it in {VARIABLE}"
    )


def fitted(
    weights: Weights, shapes: Mapping[str, tuple[int, ...]], head: Collection[str]
) -> dict[str, np.ndarray]:
    """The arrays of a network with these shapes, float32, all but those whose names begin with one of `head`.

    Says what was loaded, missing, unexpected. Raises UserError where another array is missing or of another
    shape."""
    loaded = {
        name: np.ascontiguousarray(weights.arrays[name], np.float32)
        for name, shape in shapes.items()
        if not name.startswith(tuple(head)) and weights.arrays.get(name, np.empty(0)).shape == shape
    }
    absent = [name for name in shapes if name not in loaded and not name.startswith(tuple(head))]
    if absent:
        name = absent[0]
        held = weights.arrays[name].shape if name in weights.arrays else "none"
        raise UserError(
            f"{weights.path} does not hold all of the network: of {len(absent)} arrays, {name} first, it "
            "has none "
            f"or another shape ({held}, expected {shapes[name]})"
        )
    fresh = [name for name in shapes if name not in loaded]
    unexpected = [name for name in weights.arrays if name not in loaded]
    log.info(
        "Weights of %s: %d arrays loaded; missing, so new: %s; unexpected, so left: %s",
        weights.path.name, len(loaded), _some(fresh), _some(unexpected),
    )  # fmt: skip
    return loaded


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"

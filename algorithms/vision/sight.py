"""One image as it is drawn to be seen: decoded no larger than it has to be, and through the pass to
pixels."""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.pixels import cpu as pixels_cpu
from optml.algorithms.kernels.pixels.blur import blur_one
from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.vision.augment import View
from optml.formats.images.decode import Encoded, Scratch, shrink_for


def see(image: Encoded, view: View, finish: Finish, out: np.ndarray, scratch: Scratch | None = None) -> None:
    """Fill `out` (height, width, channels) float32. scratch: where it is decoded to, by one thread. Raises
    UnreadableError."""
    shrink = shrink_for(view.scale)
    pixels = image.pixels(out.shape[2], shrink, scratch)
    colour = None if view.colour is None else np.array(view.colour, np.float32)
    pixels_cpu.render_one(pixels, (view.matrix / shrink).astype(np.float32), colour, finish, out)
    blur_one(out, view.blur)

"""Batches of images, made by a few threads beside the computation.

Sample s of epoch e draws from SeedSequence((seed, e, s)): batches are the same, bit for bit, for any number
of threads, and after a resume.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from optml import cpus
from optml.algorithms.kernels.pixels.terms import Array, Finish
from optml.algorithms.vision.augment import Draw, View
from optml.algorithms.vision.index import FIRST, ImageIndex
from optml.algorithms.vision.masks import Masks
from optml.algorithms.vision.order import Order
from optml.algorithms.vision.sight import see
from optml.algorithms.vision.staged import Staged
from optml.errors import UserError
from optml.formats.images.decode import Encoded, Scratch
from optml.formats.images.header import UnreadableError

log = logging.getLogger(__name__)

UNREADABLE = 0.01  # of all images, at most
THREADS = 16  # at most, of those that are chosen here
AHEAD = 2  # batches under way at once


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """pixels: (n, height, width, channels) float32, of a GPU a tensor on it.   samples: (n,) int64, places in
    the index. views: what was drawn for each.   sizes: (n, 2) int64, heights and widths of the images as they
    are stored. masks: (n, height, width) uint8, seen as the images are; None: there are none."""

    pixels: Array
    samples: np.ndarray
    views: list[View]
    sizes: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(eq=False)
class _Work:
    """A batch that is being made: threads take its places one by one."""

    samples: np.ndarray
    epochs: np.ndarray
    sizes: np.ndarray
    masks: np.ndarray | None
    pixels: np.ndarray | None = None  # of the output
    staged: Staged | None = None  # or what a GPU makes it of
    places: deque[int] = field(default_factory=deque)
    images: list[Encoded | None] = field(init=False)
    views: list[View | None] = field(init=False)
    errors: dict[int, UnreadableError] = field(default_factory=dict)
    futures: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images = [None] * len(self.samples)
        self.views = [None] * len(self.samples)

    def batch(self, pixels: Array) -> Batch:
        """What became of it, without unreadable images; pixels: of those that are not."""
        good = self.good
        views = [view for view in self.views if view is not None]
        masks = None if self.masks is None else self.masks[good]
        return Batch(pixels, self.samples[good], views, self.sizes[good], masks)

    @property
    def good(self) -> slice | list[int]:
        """The places of readable images."""
        return (
            [place for place, view in enumerate(self.views) if view is not None]
            if self.errors
            else slice(None)
        )


class Loader:
    """The batches of an index (`algorithms.sources.Data`).

    order: which images make which batch.   draw: how an image is seen.   shape: (height, width, channels) of
    the output.   finish: scaling.   seed: of what is drawn.   threads: that decode; None: by the CPUs.

    Up to 1 % of the images may be unreadable: each is left out of its batch with a warning. Raises UserError,
    naming the first of them, for more, and for an image that `draw` or the limit of pixels refuses.
    """

    def __init__(
        self,
        index: ImageIndex,
        order: Order,
        draw: Draw,
        *,
        shape: tuple[int, int, int],
        finish: Finish,
        seed: int,
        threads: int | None = None,
        masks: Masks | None = None,
        device: str = "cpu",
    ) -> None:
        self.index = index
        self.order = order
        self._draw = draw
        self._shape = shape
        self._finish = finish
        self._seed = seed
        self._masks = masks
        self._device = device
        self._threads = threads or min(cpus.count(), THREADS)
        self._local = threading.local()
        self._unreadable: dict[int, str] = {}  # image -> what is wrong

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; those whose images are all unreadable are empty."""
        return self.epoch_from(number, 0)

    def epoch_from(self, number: int, first: int) -> Iterator[Batch]:
        """The same without the first batches, of which no image is read."""
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="images")
        under_way: deque[_Work] = deque()
        try:
            for samples, epochs in islice(self.order.epoch(number), first, None):
                under_way.append(self._begin(pool, samples, epochs))
                if len(under_way) == AHEAD:
                    yield self._end(under_way.popleft())
            while under_way:
                yield self._end(under_way.popleft())
        finally:
            for work in under_way:
                work.places.clear()
            pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, samples: np.ndarray, epochs: np.ndarray) -> _Work:
        height, width, channels = self._shape
        masks = None if self._masks is None else np.empty((len(samples), height, width), np.uint8)
        work = _Work(samples, epochs, np.zeros((len(samples), 2), np.int64), masks)
        if self._device == "cpu":
            work.pixels = np.empty((len(samples), *self._shape), np.float32)
            self._share(pool, work, self._make)
            return work
        self._share(pool, work, self._look)
        for future in work.futures:  # sizes first: all pixels lie in one piece
            future.result()
        work.staged = Staged.of(work.images, work.views, channels, self._device)
        self._share(pool, work, self._stage)
        return work

    def _share(self, pool: ThreadPoolExecutor, work: _Work, step: Callable[[_Work, int], None]) -> None:
        """Do a step for each image of a batch, on all threads."""
        work.places = deque(range(len(work.samples)))
        threads = min(self._threads, len(work.samples))
        work.futures = [pool.submit(self._serve, work, step) for _ in range(threads)]

    def _serve(self, work: _Work, step: Callable[[_Work, int], None]) -> None:
        """What one thread does for a batch."""
        if not hasattr(self._local, "scratch"):
            self._local.scratch = Scratch()
        while True:
            try:
                place = work.places.popleft()
            except IndexError:
                return
            if place in work.errors:
                continue
            try:
                step(work, place)
            except UnreadableError as error:
                work.errors[place] = error
                work.views[place] = None

    def _look(self, work: _Work, place: int) -> None:
        """Read an image and its header, and draw how it is seen."""
        sample, epoch = int(work.samples[place]), int(work.epochs[place])
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, sample)))
        image = Encoded.of(self.index.encoded(sample), self.index.names[sample])
        view = self._draw(image, rng, sample)
        work.sizes[place] = image.size
        if self._masks is not None and work.masks is not None:
            self._masks.seen(sample, image.size, view, work.masks[place])
        work.images[place], work.views[place] = image, view

    def _make(self, work: _Work, place: int) -> None:
        """Make one image of a batch."""
        self._look(work, place)
        image, view = work.images[place], work.views[place]
        work.images[place] = None
        assert image is not None
        assert view is not None
        assert work.pixels is not None
        see(image, view, self._finish, work.pixels[place], self._local.scratch)

    def _stage(self, work: _Work, place: int) -> None:
        """Decode one image to where a GPU is sent it from."""
        image = work.images[place]
        work.images[place] = None
        assert image is not None
        assert work.staged is not None
        work.staged.decode(place, image)

    def _end(self, work: _Work) -> Batch:
        for future in work.futures:
            future.result()
        for place in sorted(work.errors):
            self._skip(int(work.samples[place]), work.errors[place])
        if work.staged is not None:
            return work.batch(work.staged.render(work.good, self._finish, self._shape[:2]))
        assert work.pixels is not None
        return work.batch(work.pixels[work.good])

    def _skip(self, sample: int, error: UnreadableError) -> None:
        """Note an image that cannot be read. Raises UserError once there are too many."""
        if sample in self._unreadable:
            return
        self._unreadable[sample] = str(error)
        count, most = len(self._unreadable), int(UNREADABLE * len(self.index))
        if count > most:
            shown = "; ".join(list(self._unreadable.values())[:FIRST])
            raise UserError(
                f"{count} of {len(self.index)} images cannot be read, and no more than 1 % ({most}) are left "
                f"out: {shown}"
            )
        log.warning("%s; it is left out", error)

"""The images of a channel in batches, with the boxes in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from optml import cpus
from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.kernels.pixels.terms import Array, Finish
from optml.algorithms.object_detection.hyperparameters import Hyperparameters
from optml.algorithms.object_detection.sampling import Seen
from optml.algorithms.sources import Source
from optml.algorithms.vision import channel, loader
from optml.algorithms.vision.boxes import COLUMNS, PADDING, Boxes, boxes
from optml.algorithms.vision.index import ImageIndex, of_list
from optml.algorithms.vision.order import Order
from optml.algorithms.vision.pairs import of_annotations
from optml.errors import UserError
from optml.formats.content_type import RECORDIO

log = logging.getLogger(__name__)

TRAIN = "train"
HEADER = 2  # numbers of a packed label before its objects
LIST = ".lst"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """pixels: (n, side, side, 3) float32, 0..255, of a GPU a tensor on it.   truths: (n, T, 6) float32:
    class, xmin, ymin, xmax, ymax as fractions, difficult; -1 behind those of an image."""

    pixels: Array
    truths: np.ndarray

    def __len__(self) -> int:
        return len(self.truths)


class Images:
    """One channel (`algorithms.sources.Data`). Images of train are shuffled and augmented anew in each
    epoch, and its last batch is filled with the first images of the next, which then begins behind them; of
    validation each image comes once, as a whole."""

    def __init__(
        self, index: ImageIndex, source: Source, setting: Setting, *, augmented: bool | None = None
    ) -> None:
        """augmented: None: as the channel is trained on."""
        hyperparameters: Hyperparameters = setting.hyperparameters
        self.index = index
        self.sharded = source.distribution != "FullyReplicated"
        train = source.name == TRAIN
        labels = boxes(index, hyperparameters.num_classes) if len(index) else _none()
        _warn_of_width(labels, hyperparameters, source.name)
        host, hosts = share(source.distribution, setting.cluster)
        ends = Order(
            len(index),
            hyperparameters.mini_batch_size,
            setting.seed,
            shuffle=train,
            ends="roll" if train else "keep",
            host=host,
            hosts=hosts,
        )
        side = hyperparameters.image_shape
        self.threads = min(cpus.count(), loader.THREADS)  # that decode
        self._seen = Seen(labels, side, train if augmented is None else augmented)
        self._loader = loader.Loader(
            index,
            ends,
            self._seen,
            shape=(side, side, 3),
            finish=Finish.of("raw"),
            seed=setting.seed,
            threads=self.threads,
            device=setting.device,
        )

    def __len__(self) -> int:
        """Images in all, of which the hosts of a replicated channel have all and see a share each."""
        return len(self.index)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, where the data tell them."""
        known = self.index.class_names
        return tuple(known.get(number, "") for number in range(max(known, default=-1) + 1))

    def epoch(self, number: int) -> Iterator[Batch]:
        return self.epoch_from(number, 0)

    def epoch_from(self, number: int, first: int) -> Iterator[Batch]:
        for batch in self._loader.epoch_from(number, first):
            parts = zip(batch.samples.tolist(), batch.views, batch.sizes.tolist(), strict=True)
            rows = [self._seen.truths(sample, view, (size[0], size[1])) for sample, view, size in parts]
            yield Batch(batch.pixels, padded(rows))


def padded(rows: list[np.ndarray]) -> np.ndarray:
    """Boxes (k, 6) of each image as one array (n, most, 6), at least one row an image."""
    truths = np.full((len(rows), max([1, *map(len, rows)]), COLUMNS), PADDING, np.float32)
    for place, own in enumerate(rows):
        truths[place, : len(own)] = own
    return truths


def data(source: Source, setting: Setting) -> Images:
    """The images of a channel. Raises UserError for what is missing or wrong in it."""
    return Images(read(source, setting), source, setting)


def read(source: Source, setting: Setting) -> ImageIndex:
    """The labelled images of a channel: `.rec` files, a manifest, a Pipe of either, images and a channel of
    JSON about them, or images and a `.lst` file beside them."""
    name = f"{source.name}_annotation"
    annotations = setting.auxiliary.get(name)
    files = source.files() or ()
    records = [file for file, path in files if path.suffix == ".rec"]
    if annotations is not None:
        if records or source.files() is None:
            what = f"holds {records[0]}" if records else "is a Pipe"
            raise UserError(
                f"channel '{source.name}' {what}, whose records carry their boxes themselves, but channel "
                f"'{name}' "
                "was given too; leave one of them out"
            )
        return of_annotations(source, annotations)
    lists = [(file, path) for file, path in files if path.suffix == LIST]
    if lists and not records:
        if len(lists) > 1:
            raise UserError(f"channel '{source.name}' must hold one .lst file; it has {len(lists)}")
        file, path = lists[0]
        return of_list(path.read_bytes(), file, [pair for pair in files if pair not in lists], source.name)
    if (source.media or RECORDIO) != RECORDIO and files and not records and not _manifest(files):
        raise UserError(
            f"channel '{source.name}' has image files, whose boxes stand in JSON files of channel "
            f"'{name}', which "
            "was not given; expected one for each image, with its name"
        )
    return channel.read(source)


def _manifest(files: object) -> bool:
    from optml.algorithms.vision.manifest import SUFFIXES

    return any(path.suffix in SUFFIXES for _, path in files)  # type: ignore[attr-defined]


def _none() -> Boxes:
    """Those of no image: of a channel that was stopped, or of a host without a share."""
    return Boxes(np.empty((0, COLUMNS), np.float32), np.zeros(1, np.int64), np.empty((0, 2), np.int64))


def _warn_of_width(labels: Boxes, hyperparameters: Hyperparameters, name: str) -> None:
    """label_width is of no account; who set one that AWS's image would refuse is told."""
    difficult = bool(len(labels.values)) and bool((labels.values[:, 5] > 0).any())
    needed = HEADER + (COLUMNS if difficult else COLUMNS - 1) * labels.most
    if "label_width" in hyperparameters.model_fields_set and hyperparameters.label_width < needed:
        log.warning(
            "label_width is %d, but channel '%s' has an image of %d objects, whose label takes %d "
            "numbers: it is "
            "taken as %d",
            hyperparameters.label_width, name, labels.most, needed, needed,
        )  # fmt: skip

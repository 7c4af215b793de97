"""The images of a channel in batches, with their masks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optml import cpus
from optml.algorithms.base import Setting
from optml.algorithms.kernels.pixels.terms import Array, Finish
from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.algorithms.semantic_segmentation.views import Middle, Square
from optml.algorithms.sources import Source
from optml.algorithms.vision import channel, pairs
from optml.algorithms.vision.index import ImageIndex
from optml.algorithms.vision.loader import THREADS, Loader
from optml.algorithms.vision.manifest import SUFFIXES
from optml.algorithms.vision.masks import IGNORED, LabelMap, Masks
from optml.algorithms.vision.order import Order
from optml.errors import UserError
from optml.formats.images import header

log = logging.getLogger(__name__)

TRAIN = "train"
MAPS = "label_map"  # the channel of label maps
RATIO = 3.0  # of base_size to crop_size, from which training sees objects much larger than validation


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """pixels: (n, side, side, 3) float32, 0..255, of a GPU a tensor on it.   masks: (n, side, side) uint8,
    the class of each pixel, 255 where none counts."""

    pixels: Array
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def blank(cls, side: int) -> Batch:
        """A black image of which no pixel counts."""
        return cls(np.zeros((1, side, side, 3), np.float32), np.full((1, side, side), IGNORED, np.uint8))

    @property
    def labelled(self) -> float:
        """The share of the pixels that have a class."""
        return float(np.count_nonzero(self.masks != IGNORED) / self.masks.size)


class Images:
    """One channel (`algorithms.sources.Data`). Of train, images are shuffled and seen anew in each epoch, and
    those that make no whole batch are the first of the next epoch; of validation each comes once. Of several
    hosts each has a part of every batch."""

    def __init__(self, index: ImageIndex, label_map: LabelMap, source: Source, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        train = source.name == TRAIN
        size = hyperparameters.mini_batch_size if train else hyperparameters.validation_mini_batch_size
        self._check(index, source, setting, size)
        self.index = index
        self.label_map = label_map
        self.masks = Masks(index, label_map, hyperparameters.num_classes)
        self.threads = min(cpus.count(), THREADS)  # that decode
        side = hyperparameters.crop
        order = Order(
            len(index),
            size,
            setting.seed,
            shuffle=train,
            ends="roll" if train else "keep",
            host=setting.cluster.rank,
            hosts=setting.cluster.size,
            split=True,
        )
        self._loader = Loader(
            index,
            order,
            Square(side, hyperparameters.base_size) if train else Middle(side),
            shape=(side, side, 3),
            finish=Finish.of("raw", outside=0.0),
            seed=setting.seed,
            threads=self.threads,
            masks=self.masks,
            device=setting.device,
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, where the data tell them."""
        known = self.index.class_names
        return tuple(known.get(number, "") for number in range(max(known, default=-1) + 1))

    def palette(self) -> bytes:
        """R, G, B of each label from 0 on, as the first mask has them; b"": it is grey."""
        colours = np.zeros((256, 3), np.uint8)
        if self.index.colours:
            for colour, label in self.index.colours.items():
                colours[label] = colour
            return _trimmed(colours)
        palette = self.masks.palette()
        if palette is None:
            return b""
        of_values = np.zeros((256, 3), np.uint8)
        there = np.frombuffer(palette, np.uint8).reshape(-1, 3)[:256]
        of_values[: len(there)] = there
        for value in reversed(range(256)):  # of several values of a label the lowest
            colours[self.label_map.table[value]] = of_values[value]
        return _trimmed(colours)

    def epoch(self, number: int) -> Iterator[Batch]:
        return self.epoch_from(number, 0)

    def epoch_from(self, number: int, first: int) -> Iterator[Batch]:
        for batch in self._loader.epoch_from(number, first):
            assert batch.masks is not None
            yield Batch(batch.pixels, batch.masks)

    def _check(self, index: ImageIndex, source: Source, setting: Setting, size: int) -> None:
        if source.stopped():
            return
        if source.name == TRAIN and len(index) < size:
            raise UserError(
                f"channel '{source.name}' has {len(index)} images, fewer than mini_batch_size={size}: lower "
                "mini_batch_size, or give more images"
            )
        if source.name == TRAIN and size < setting.cluster.size:
            raise UserError(
                f"mini_batch_size={size} is of all {setting.cluster.size} GPUs: give each an image at least, "
                "or set _num_gpus"
            )


def data(source: Source, setting: Setting) -> Images:
    """The images of a channel and their masks. Raises UserError for what is missing or wrong in them."""
    annotations = setting.auxiliary.get(f"{source.name}_annotation")
    label_map = _label_map(source, annotations, setting.auxiliary.get(MAPS))
    if _manifest(source):
        if annotations is not None:
            log.warning(
                "channel '%s' is not read: the manifest of '%s' names the masks",
                annotations.name,
                source.name,
            )
        index = channel.read(source)
        _require_masks(index, source)
    elif annotations is None:
        raise UserError(
            f"channel '{source.name}_annotation' is required and was not given: it holds a PNG for each "
            f"image of channel '{source.name}', with the same name before the dot"
        )
    else:
        index = pairs.of_masks(source, annotations)
    if source.name == TRAIN:
        _warn_of_sizes(setting.hyperparameters)
    return Images(index, label_map, source, setting)


def _trimmed(colours: np.ndarray) -> bytes:
    """Without what is black at the end, but for the first, so that there is a palette."""
    return colours[: max(np.flatnonzero(colours.any(axis=1)), default=0) + 1].tobytes()


def _manifest(source: Source) -> bool:
    files = source.files()
    return files is None or any(path.suffix in (*SUFFIXES, ".rec") for _, path in files)


def _require_masks(index: ImageIndex, source: Source) -> None:
    """Raise UserError for a manifest of other labels, or with the mask in front."""
    order = (
        "AttributeNames must be the image's attribute and then the mask's, such as "
        '["source-ref", "city-streets-ref"]'
    )
    if index.masks is None:
        if source.stopped() and not len(index):
            return
        raise UserError(f"the labels of channel '{source.name}' are no masks: {order}")
    if len(index) and header.sniff(index.masks[0]) == header.JPEG:
        raise UserError(f"{index.names[0]} has a JPEG as its mask, which is a PNG: {order}")


def _label_map(source: Source, annotations: Source | None, maps: Source | None) -> LabelMap:
    """From channel label_map, else from beside the masks, else scale 1; the log says which."""
    places = [(maps, f"{source.name}_label_map.json"), (annotations, "label_map.json")]
    content, where = None, ""
    for place, name in places:
        for shown, path in (place.files() or ()) if place is not None else ():
            if content is None and Path(shown).name == name:
                content, where = path.read_bytes(), shown
    if content is None:
        log.info("label maps not provided, using defaults.")
    label_map = LabelMap.of(content, where)
    log.info("#label_map %s :%s", source.name, label_map.text)
    return label_map


def _warn_of_sizes(hyperparameters: Hyperparameters) -> None:
    if hyperparameters.base_size >= RATIO * hyperparameters.crop_size:
        log.warning(
            "base_size is %d and crop_size %d: training sees small parts of images that are enlarged, "
            "validation sees whole ones. Where images are small, set base_size to their longer side",
            hyperparameters.base_size, hyperparameters.crop_size,
        )  # fmt: skip

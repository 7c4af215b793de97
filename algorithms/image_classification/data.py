"""The images of a channel in batches, with their labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from optml import cpus
from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.image_classification.hyperparameters import Hyperparameters
from optml.algorithms.kernels.pixels.terms import Array, Finish
from optml.algorithms.sources import Source
from optml.algorithms.vision import channel, labels
from optml.algorithms.vision.augment import Crop
from optml.algorithms.vision.index import ImageIndex
from optml.algorithms.vision.loader import THREADS, Loader
from optml.algorithms.vision.order import Order
from optml.errors import UserError
from optml.formats.content_type import RECORDIO

log = logging.getLogger(__name__)

TRAIN = "train"
FORM = "label-format"  # of a channel's content type


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """pixels: (n, height, width, channels) float32, 0..255, of a GPU a tensor on it.   labels: (n,) int64, or
    (n, classes) float32 of 0 and 1 with several labels."""

    pixels: Array
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


class Images:
    """One channel (`algorithms.sources.Data`). Of train, batches that are not full are left out, and images
    are shuffled and augmented anew in each epoch; of validation each image comes once, its middle."""

    def __init__(self, index: ImageIndex, source: Source, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        self.index = index
        self._several = bool(hyperparameters.multi_label)
        self._train = source.name == TRAIN
        self._form = label_form(source)
        self.sharded = source.distribution != "FullyReplicated"
        if self._several:
            log.info("label-format is %s", self._form)
        self.labels = self._labels(hyperparameters)
        host, hosts = share(source.distribution, setting.cluster)
        if self._train and len(index) < hyperparameters.mini_batch_size * hosts:
            raise UserError(
                "The number of input images must be bigger or equal to the mini_batch_size. "
                f"Channel '{source.name}' has {len(index)}, mini_batch_size is "
                f"{hyperparameters.mini_batch_size}" + (f" on each of {hosts} machines" if hosts > 1 else "")
            )
        channels, height, width = hyperparameters.shape
        order = Order(
            len(index),
            hyperparameters.mini_batch_size,
            setting.seed,
            shuffle=self._train,
            ends="drop" if self._train else "keep",
            host=host,
            hosts=hosts,
        )
        self.threads = min(cpus.count(), THREADS)  # that decode
        level = hyperparameters.augmentation_type or "none"
        self._loader = Loader(
            index,
            order,
            Crop((height, width), hyperparameters.resize, level if self._train else "none"),
            shape=(height, width, channels),
            finish=Finish.of("raw", channels),
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
            yield Batch(batch.pixels, self.labels[batch.samples])

    def _labels(self, hyperparameters: Hyperparameters) -> np.ndarray:
        if not self._several:
            return labels.classes(self.index, hyperparameters.num_classes)
        form: labels.Form = "class-id" if self._form == "class-id" else "multi-hot"
        return labels.multi_hot(self.index, hyperparameters.num_classes, form).astype(np.float32)


def data(source: Source, setting: Setting) -> Images:
    """The images of a channel. Raises UserError for what is missing or wrong in it."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    listing = setting.auxiliary.get(f"{source.name}_lst")
    pictures = listing is not None or (source.media or RECORDIO) != RECORDIO
    if pictures and hyperparameters.resize is None and source.mode != "Pipe":
        raise UserError(
            f"channel '{source.name}' has image files, for which hyperparameter resize is required: the "
            f"shorter side of an image before the crop to {hyperparameters.image_shape}; set it to "
            f"{max(hyperparameters.shape[1:])} or more"
        )
    kind = ".rec" if listing is None else ".lst"
    log.info("Searching for %s files in %s.", kind, _folder(source if listing is None else listing))
    index = channel.read(source, listing)
    if listing is not None:
        for name, _ in listing.files() or ():
            log.info("Creating record files for %s", name.rpartition("/")[2])
        log.info("Done creating record files...")
    return Images(index, source, setting)


def label_form(source: Source) -> str:
    """How labels of several classes are written. Raises UserError for a form that there is not."""
    forms = ("multi-hot", "class-id")
    for name in source.parameters:
        if name != FORM:
            log.warning("channel '%s': parameter '%s' of its content type is not known", source.name, name)
    form = source.parameters.get(FORM, forms[0]).lower()
    if form not in forms:
        raise UserError(f"channel '{source.name}': {FORM} is '{form}'; expected {' or '.join(forms)}")
    return form


def _folder(source: Source) -> str:
    """Where the files of a channel lie, as far as it tells."""
    files = source.files()
    if not files:
        return f"channel '{source.name}'"
    name, path = files[0]
    return str(path).removesuffix(name.partition("/")[2]).rstrip("/")

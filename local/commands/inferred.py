"""What the training data say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from optml.algorithms.base import Algorithm
from optml.formats import tabular
from optml.formats.compression import opened
from optml.formats.content_type import ContentType, sniff_file
from optml.formats.layout import Layout
from optml.local.feeder import files


def feature_dim(
    algorithm: Algorithm, sources: Mapping[str, Sequence[Path]], content_types: Mapping[str, str | None]
) -> tuple[int, str] | None:
    """The number of features of the first training record, and its file; None if there is no such record.

    Labels of a table are told by `label_size` of the content type, else by the algorithm's habit.
    Raises UserError for data that do not parse.
    """
    for spec in algorithm.training.channels:
        if spec.role != "train" or spec.name not in sources:
            continue
        declared = content_types.get(spec.name)
        for path in (file for source in sources[spec.name] for file in files(source)):
            name = f"{spec.name}/{path.name}"
            content_type = ContentType.parse(declared) if declared else sniff_file(path)
            layout = Layout(None, spec.label_size)
            with opened(path, source=name) as stream:
                for block in tabular.read(stream, content_type, layout, source=name, block_bytes=1 << 16):
                    return block.width, name
    return None

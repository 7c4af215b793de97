"""Model folders: ours, those of AWS's image and fastText's own, told by their content."""

from __future__ import annotations

from pathlib import Path

from optml.algorithms import artifact
from optml.algorithms.base import Model
from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.classifier import Classifier
from optml.algorithms.blazingtext.recognition import TEXT, binary, is_text
from optml.algorithms.blazingtext.vectors import WordVectors, read_text
from optml.errors import UserError


def load(folder: Path, device: str) -> Model:
    """A classifier or word vectors; answers are looked up or a small product, on the CPU.

    Raises UserError that says what is wrong with the files.
    """
    path = binary(folder)
    if path is not None:
        file = fasttext_file.read(path)
        supervised = file.settings.model == fasttext_file.SUPERVISED
        return Classifier.of_file(file) if supervised else WordVectors.of_file(file)
    if (folder / TEXT).is_file():
        return read_text(folder / TEXT)
    _explain_binary(folder)
    raise UserError(
        f"{folder} holds no BlazingText model: expected model.bin, vectors.bin, vectors.txt or another .bin "
        f"or .ftz of fastText; found {artifact.listing(folder)}"
    )


def _explain_binary(folder: Path) -> None:
    """Raise UserError for vectors in the binary format of word2vec's C program."""
    for path in sorted(folder.glob("*.bin")):
        if is_text(path):
            raise UserError(
                f"{path.name} holds vectors in the binary format of word2vec's C program; served are "
                "fastText's binary format (model.bin, vectors.bin) and word2vec's text format (vectors.txt): "
                "write it as text, with gensim's KeyedVectors.load_word2vec_format(..., binary=True) and "
                "save_word2vec_format('vectors.txt')"
            )

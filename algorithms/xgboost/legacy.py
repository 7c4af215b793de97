"""Models of engines before 3: the binary format up to 1.7, alone or within a pickled Booster (up to 1.2).

A pickle is never executed: its opcodes are read as data, and the long string that follows the key `handle` is
the model. treelite reads the binary format and predicts with it.
"""

from __future__ import annotations

import pickletools
import struct
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from optml.algorithms.xgboost import binary
from optml.errors import UserError
from optml.formats.records import Features

_TEXTS = {
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_SHORT = 16  # characters: what stands between the key and the model are names, as `latin1`
_CONFIG = b"CONFIG-offset:"  # of engines from 1.0 on: a length, so many bytes of model, the configuration
FEW = 64  # rows up to which waking other threads takes longer than the work


def is_pickle(content: bytes) -> bool:
    """Of protocols 0 to 5, of a Booster."""
    return content[:1] in (b"\x80", b"c") and b"xgboost" in content[:200]


def cut_from_pickle(content: bytes, source: str) -> bytes:
    """The model within a pickled Booster. Raises UserError where there is none."""
    after_key = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in damaged strings
            for opcode, argument, _ in pickletools.genops(content):
                if opcode.name in _BYTES and after_key:
                    return _model(bytes(argument or b""))
                if opcode.name not in _TEXTS:
                    continue
                text = str(argument)
                if after_key and len(text) > _SHORT:  # Python 2, and protocols below 3: a byte a character
                    return _model(text.encode("latin-1"))
                after_key = after_key or text == "handle"
    except (ValueError, IndexError, struct.error) as error:  # UnicodeError is a ValueError
        raise UserError(f"{source} is a damaged pickle: {error}") from None
    raise UserError(f"{source} is a pickle that holds no XGBoost model")


def _model(handle: bytes) -> bytes:
    if not handle.startswith(_CONFIG):
        return handle
    start = len(_CONFIG) + 8
    (length,) = struct.unpack_from("<q", handle, len(_CONFIG))
    return handle[start : start + length]


@dataclass(frozen=True)
class Forest:
    """A model in the old binary format (`algorithms.xgboost.boosters.Predictor`)."""

    objective: str
    width: int
    num_class: int
    trees: Any  # treelite.Model

    @classmethod
    def read(cls, content: bytes, source: str) -> Forest:
        """Raises UserError for what is no model, and for what treelite cannot read."""
        header = binary.check(content, source)
        import treelite

        with tempfile.NamedTemporaryFile(prefix="optml-") as file:
            file.write(content)
            file.flush()
            try:
                trees = treelite.frontend.load_xgboost_model_legacy_binary(file.name)
            except treelite.TreeliteError as error:
                reason = str(error).split("\n")[0].rpartition(": ")[2]
                raise UserError(
                    f"{source} cannot be read as a model of an XGBoost before 3.0 ({reason}); "
                    "save it as JSON with the version that trained it"
                ) from None
        return cls(header.objective, header.width, header.num_class, trees)

    def predict(self, features: Features) -> np.ndarray:
        """(n,) float32, or (n, num_class) of multi:softprob; absent values are missing."""
        import treelite

        if isinstance(features, csr_array):
            features = csr_matrix(features)
        threads = 1 if features.shape[0] <= FEW else -1
        predictions: np.ndarray = treelite.gtil.predict(self.trees, features, nthread=threads)[
            :, 0
        ]  # (n, classes)
        if self.objective == "multi:softmax":
            predictions = predictions.argmax(axis=1).astype(np.float32)
        elif self.objective != "multi:softprob":
            predictions = predictions[:, 0]
        return predictions

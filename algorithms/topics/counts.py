"""Documents as word documents: what is wrong with them, and which are empty."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.records import Records


def counts(batch: Records, words: int) -> csr_array:
    """The counts (n, words) float32 of a batch, dense or sparse, without zeros that are stored. Raises
    UserError naming a record that is of another width or holds a negative number."""
    if batch.width != words:
        raise UserError(
            f"{batch.where(0)} has {batch.width} values, but the vocabulary has {words} words (feature_dim)"
        )
    documents = csr_array(batch.features)
    if not documents.nnz or documents.data.min() > 0:
        return documents
    place = int(np.argmin(documents.data))
    if documents.data[place] < 0:
        row = int(np.searchsorted(documents.indptr, place, side="right")) - 1
        raise UserError(
            f"{batch.where(row)} holds {documents.data[place]:g} for word {documents.indices[place]} "
            "(counted from 0); expected how often each word occurs, 0 or more"
        )
    documents = documents.copy()
    documents.eliminate_zeros()
    return documents


def occupied(documents: csr_array) -> csr_array:
    """The documents that hold a word."""
    there = np.diff(documents.indptr) > 0
    return documents if there.all() else documents[np.flatnonzero(there)]


def fraction(batch: Records, documents: csr_array) -> str | None:
    """A warning that names the first record that holds other than counts; None: all hold counts."""
    broken = documents.data != np.floor(documents.data)
    if not broken.any():
        return None
    place = int(np.argmax(broken))
    row = int(np.searchsorted(documents.indptr, place, side="right")) - 1
    return (
        f"{batch.where(row)} holds {documents.data[place]:g} for word {documents.indices[place]}: this "
        "algorithm models counts; numbers that are none are taken as they are"
    )

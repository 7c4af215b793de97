"""What one of the two encoders goes by."""

from __future__ import annotations

from dataclasses import dataclass

LAYERS = {"hcnn": 4, "bilstm": 1, "pooled_embedding": 1}  # what auto is


@dataclass(frozen=True, slots=True)
class Encoder:
    """All that one encoder goes by, resolved."""

    network: str
    layers: int
    filter_width: int
    vocab_size: int
    max_seq_len: int
    token_embedding_dim: int
    width: int  # of its output

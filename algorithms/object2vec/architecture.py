"""What one of the two encoders goes by."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def alike(self, other: Encoder) -> bool:
        """Have both networks weights of the same shapes?"""
        return replace(self, vocab_size=0, max_seq_len=0) == replace(other, vocab_size=0, max_seq_len=0)

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.algorithms.object2vec.training import hyperparameters


def test_enc1_is_as_enc0_unless_it_is_told_otherwise() -> None:
    first, second = hyperparameters(enc0_network="bilstm", enc0_layers="2").encoders
    assert first == second
    assert (first.layers, first.width) == (2, 6)
    settings = hyperparameters(enc1_vocab_size=7, enc1_max_seq_len=3)
    assert settings.overrides == ("enc1_vocab_size", "enc1_max_seq_len")
    assert (settings.encoders[1].vocab_size, settings.encoders[1].max_seq_len) == (7, 3)


def test_auto_layers_are_four_of_hcnn_and_one_of_bilstm() -> None:
    settings = hyperparameters(
        enc0_network="hcnn", enc1_network="bilstm", enc1_vocab_size=9, enc1_max_seq_len=4
    )
    assert [encoder.layers for encoder in settings.encoders] == [4, 1]


def test_row_sparse_updates_go_without_buckets() -> None:
    assert hyperparameters(bucket_width=10).buckets == 10
    assert hyperparameters(bucket_width=10, token_embedding_storage_type="row_sparse").buckets == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"comparator_list": "hadamard, cosine"}, "comparator_list names 'cosine'"),
        ({"comparator_list": " , "}, "comparator_list is empty"),
        ({"comparator_list": "concat,concat"}, "names a comparator twice"),
        ({"enc1_network": "hcnn"}, "enc1_max_seq_len is required where enc1_network is 'hcnn'"),
        ({"enc0_network": "bilstm", "enc_dim": 7}, "enc_dim=7 is odd"),
        (
            {"enc1_network": "hcnn", "enc_dim": 8, "enc1_vocab_size": 9, "enc1_max_seq_len": 4},
            r"differ in width: enc0 \(pooled_embedding\) has 6, enc1 \(hcnn\) has 8",
        ),
        (
            {"tied_token_embedding_weight": True, "enc1_vocab_size": 29},
            r"needs equal enc0_vocab_size \(30\) and enc1_vocab_size \(29\)",
        ),
        ({"enc0_pretrained_embedding_file": "a.txt"}, "needs enc0_vocab_file"),
        (
            {"token_embedding_storage_type": "row_sparse", "optimizer": "rmsprop"},
            "row_sparse does not go with optimizer=rmsprop",
        ),
        ({"negative_sampling_rate": 2, "num_classes": 3}, "so num_classes must be 2, not 3"),
    ],
)
def test_what_does_not_go_together_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        hyperparameters(**changes)

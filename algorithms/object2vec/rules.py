"""Rules between the hyperparameters of Object2Vec."""

from __future__ import annotations

from typing import Any, TypeAlias

from optml.algorithms.object2vec.architecture import Encoder

Hyperparameters: TypeAlias = Any  # of `hyperparameters.py`, which imports this

COMPARATORS = ("hadamard", "concat", "abs_diff")
LAZY = ("adam", "adagrad", "sgd")  # optimizers that take row-sparse updates


def problems(settings: Hyperparameters) -> list[str]:
    """What does not go together, a sentence each."""
    sentences = [*_of_comparators(settings), *_of_encoders(settings), *_of_embeddings(settings)]
    if settings.negative_sampling_rate and settings.classifier and settings.num_classes != 2:
        sentences.append(
            f"negative_sampling_rate={settings.negative_sampling_rate} makes pairs of class 0 beside those "
            f"of class 1, so num_classes must be 2, not {settings.num_classes}"
        )
    return sentences


def _of_comparators(settings: Hyperparameters) -> list[str]:
    names = settings.comparators
    unknown = [name for name in names if name not in COMPARATORS]
    if unknown or not names:
        what = f"names '{unknown[0]}'" if unknown else "is empty"
        return [
            f"comparator_list {what}; expected some of {', '.join(COMPARATORS)}, with commas between them"
        ]
    if len(set(names)) < len(names):
        return [f"comparator_list='{settings.comparator_list}' names a comparator twice; give each once"]
    return []


def _of_encoders(settings: Hyperparameters) -> list[str]:
    problems = [
        f"{name} is required where enc1_network is '{settings.enc1_network}': only enc1_network=enc0 takes "
        "enc0's"
        for name in ("enc1_max_seq_len", "enc1_vocab_size")
        if settings.enc1_network != "enc0" and getattr(settings, name) is None
    ]
    width = settings.enc_dim
    if "bilstm" in (settings.enc0_network, settings.enc1_network) and width % 2:
        problems.append(f"enc_dim={width} is odd; bilstm gives half of it to each direction: make it even")
    if problems:
        return problems
    first, second = settings.encoders
    if first.width != second.width:
        problems.append(
            f"the encoders' outputs differ in width: {_described(0, first)}, {_described(1, second)}; make "
            "them equal (pooled_embedding: by encN_token_embedding_dim, others: by enc_dim)"
        )
    if settings.tied_token_embedding_weight:
        for name in ("vocab_size", "token_embedding_dim"):
            one, other = getattr(first, name), getattr(second, name)
            if one != other:
                problems.append(
                    f"tied_token_embedding_weight needs equal enc0_{name} ({one}) and enc1_{name} ({other})"
                )
    return problems


def _of_embeddings(settings: Hyperparameters) -> list[str]:
    problems = []
    for number in range(2):
        vectors, tokens = settings.pretrained(number)
        if vectors and not tokens:
            problems.append(
                f"enc{number}_pretrained_embedding_file='{vectors}' needs enc{number}_vocab_file: the JSON "
                "file token -> id of the auxiliary channel"
            )
    one, other = settings.pretrained(0), settings.pretrained(1)
    if settings.tied_token_embedding_weight and one[0] and other[0] and one != other:
        problems.append(
            "tied_token_embedding_weight has one table, but enc0 and enc1 name different pretrained files"
        )
    if settings.lazy and settings.optimizer not in LAZY:
        problems.append(
            f"token_embedding_storage_type=row_sparse does not go with optimizer={settings.optimizer}; take "
            f"one of {', '.join(LAZY)}, or dense"
        )
    return problems


def _described(number: int, encoder: Encoder) -> str:
    return f"enc{number} ({encoder.network}) has {encoder.width}"

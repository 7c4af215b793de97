"""Rules between the hyperparameters of Sequence-to-Sequence."""

from __future__ import annotations

from typing import Any, TypeAlias

Hyperparameters: TypeAlias = Any  # of `hyperparameters.py`, which imports this


def problems(settings: Hyperparameters) -> list[str]:
    """What does not go together, a sentence each."""
    sentences = [*_of_networks(settings), *_of_lengths(settings)]
    if settings.momentum is not None and settings.optimizer_type != "sgd":
        sentences.append(
            f"momentum={settings.momentum:g} is of optimizer_type=sgd, but optimizer_type is "
            f"{settings.optimizer_type}: leave momentum out, or take sgd"
        )
    if settings.max_num_epochs is not None and settings.min_num_epochs > settings.max_num_epochs:
        sentences.append(
            f"min_num_epochs={settings.min_num_epochs} is more than max_num_epochs={settings.max_num_epochs}"
        )
    if settings.max_num_batches == 0:
        sentences.append("max_num_batches is 0: nothing would be learnt; -1 is any number of updates")
    return sentences


def _of_networks(settings: Hyperparameters) -> list[str]:
    sentences = []
    recurrent = settings.encoder_type == "rnn"
    if recurrent and settings.rnn_num_hidden % 2:
        sentences.append(
            f"rnn_num_hidden={settings.rnn_num_hidden} is odd; the encoder's first layer gives half of it to "
            "each direction: make it even"
        )
    if settings.encoder_type == "cnn" and settings.cnn_kernel_width_encoder % 2 == 0:
        sentences.append(
            f"cnn_kernel_width_encoder={settings.cnn_kernel_width_encoder} is even; a convolution that sees "
            "both sides alike is odd"
        )
    if settings.decoder_type == "cnn" and recurrent and settings.rnn_num_hidden != settings.cnn_num_hidden:
        sentences.append(
            f"rnn_num_hidden={settings.rnn_num_hidden} and cnn_num_hidden={settings.cnn_num_hidden} differ; "
            "a decoder of convolutions looks at an encoder of its own width: make them equal"
        )
    return sentences


def _of_lengths(settings: Hyperparameters) -> list[str]:
    if settings.max_seq_len_target < 2:
        return [
            f"max_seq_len_target={settings.max_seq_len_target} leaves no room for a token beside the end of "
            "the target: make it 2 or more"
        ]
    return []


def hints(settings: Hyperparameters) -> list[str]:
    """What is allowed and seldom meant, a sentence each."""
    sentences = []
    early = settings.max_num_epochs is None
    threshold, patience = settings.plateau_reduce_lr_threshold, settings.checkpoint_threshold
    if early and settings.lr_scheduler_type == "plateau_reduce" and threshold >= patience:
        sentences.append(
            f"plateau_reduce_lr_threshold={threshold} is not less than checkpoint_threshold={patience}: "
            "training stops at the evaluation that would reduce the learning rate"
        )
    every, updates = settings.checkpoint_frequency_num_batches, settings.updates
    if updates is not None and every > updates:
        sentences.append(
            f"checkpoint_frequency_num_batches={every} is more than max_num_batches={updates}: the model is "
            "evaluated once, at the end"
        )
    return sentences

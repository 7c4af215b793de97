"""Learning to classify text: mode supervised."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.classifier import Classifier
from optml.algorithms.blazingtext.early_stopping import EarlyStopping
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.blazingtext.limits import require_finite, require_memory, require_one_host
from optml.algorithms.blazingtext.progress import Progress
from optml.algorithms.blazingtext.quantized import Dense
from optml.algorithms.blazingtext.vocabulary import END, LABEL, LINE_END, Vocabulary, Words
from optml.algorithms.kernels.machine.threads import count
from optml.algorithms.metrics import Metric
from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.blazingtext.corpus import Corpus
    from optml.algorithms.blazingtext.data import Block, Held
    from optml.algorithms.kernels.words.classifier import Trainer

log = logging.getLogger(__name__)

LINE = "##### Alpha: %.4f  Progress: %.2f%%  Million Words/sec: %.2f #####"
DIGITS = 4  # of an accuracy
RUNS = 64  # of tokens whose lines are scored together


class Classification:
    """State: the vocabulary; input rows of the words and of the buckets of word n-grams that the text has;
    output rows of the labels."""

    round: int | None = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.device = setting.device
        self.seed = setting.seed
        require_one_host(setting, distributed=False)
        if self.hyperparameters.early_stopping and "validation" not in setting.channels:
            raise UserError(
                "early_stopping=True needs the channel 'validation', which was not given: give it, or leave "
                "early_stopping out"
            )
        if "evaluation" in setting.channels:
            raise UserError(
                "channel 'evaluation' holds word pairs for word vectors and does not go with mode "
                "'supervised': leave it out, or give labelled lines as the channel 'validation'"
            )
        if setting.tuned == "train:mean_rho":
            raise UserError(
                "_tuning_objective_metric='train:mean_rho' does not go with mode 'supervised': it is of word "
                "vectors; tune validation:accuracy"
            )
        self.hyperparameters.advise()
        where = "CPU" if self.device == "cpu" else "GPU"
        log.info("Running single machine %s BlazingText training using supervised mode.", where)
        self._corpus: Corpus = setting.train.corpus
        self._rows = self._buckets()
        self._trainer = self._make({})
        total = float(self.hyperparameters.epochs * self._corpus.tokens)
        self._progress = Progress(total, self.hyperparameters.learning_rate, LINE)
        self._begun = False  # is anything learnt?
        self._epochs = 0  # behind us
        self._encoded: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._finished = False

    def update(self, batch: Block) -> Iterable[Metric]:
        self._begun = True
        begin = batch.epoch * self._corpus.tokens
        for turn in batch.turns:
            self._trainer.learn([(segment.tokens, begin + segment.position) for segment in turn])
        last = batch.segments[-1]
        self._progress.add(
            sum(len(segment.tokens) for segment in batch.segments), begin + last.position + len(last.tokens)
        )
        return ()

    def end_round(self) -> Iterable[Metric]:
        self._epochs += 1
        return ()

    def evaluate(self, channel: str, batches: Iterable[Held]) -> Iterable[Metric]:
        """Accuracy: of the final model; after each epoch from `min_epochs` on where it may end the job."""
        pieces = [piece for text in batches for piece in self._encode(channel, text)]
        if not self._finished:
            if not self.hyperparameters.early_stopping or self._epochs < self.hyperparameters.min_epochs:
                return ()
            log.info("-------------- End of epoch: %d", self._epochs)
            log.info("Using %d threads for prediction!", count())
        hits, lines = self._trainer.accuracy(pieces)
        if lines == 0:
            log.warning(
                "No line of channel '%s' has a label of the training text and a word: accuracy is 0", channel
            )
        accuracy = round(hits / max(lines, 1), DIGITS)
        if self._finished:
            log.info("Number of %s examples: %d", channel, lines)
            return [Metric(f"{channel}:accuracy", accuracy)]
        log.info("Validation accuracy: %.6g", hits / max(lines, 1))
        return [Metric(f"{channel}:accuracy", accuracy)]

    def stopping(self) -> tuple[EarlyStopping, str] | None:
        if not self.hyperparameters.early_stopping:
            return None
        return EarlyStopping(self.hyperparameters.patience), "validation:accuracy"

    def state_dict(self) -> dict[str, np.ndarray]:
        x, y = self._tables()
        return {
            "epochs": np.array(self._epochs),
            "begun": np.array(self._begun),
            "text": self._corpus.fingerprint(),
            "x": x.copy(),
            "y": y.copy(),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._corpus.require_same(state["text"])
        self._epochs = int(state["epochs"])
        self._begun = bool(state["begun"])
        del self._trainer  # its tables may be all that memory holds
        self._trainer = self._make(state)

    def model(self) -> Classifier | None:
        return self._model() if self._begun else None

    def _model(self) -> Classifier:
        hyperparameters = self.hyperparameters
        x, y = self._tables()
        grams = hyperparameters.word_ngrams > 1
        settings = fasttext_file.FastTextSettings(
            dim=hyperparameters.vector_dim,
            window=hyperparameters.window_size,
            epoch=hyperparameters.epochs,
            min_count=hyperparameters.min_count,
            negatives=hyperparameters.negative_samples,
            word_ngrams=hyperparameters.word_ngrams,
            loss=fasttext_file.SOFTMAX,
            model=fasttext_file.SUPERVISED,
            buckets=hyperparameters.buckets if grams else 0,
            threshold=hyperparameters.sampling_threshold,
        )
        return Classifier(
            settings, self._corpus.vocabulary.compact(), Dense(x), Dense(y), self._rows if grams else None
        )

    def finish(self) -> tuple[Classifier, Iterable[Metric]]:
        require_finite(self._tables(), self.hyperparameters.learning_rate)
        self._progress.ended(".")
        self._finished = True
        hashes = self._corpus.vocabulary.hashes
        hits = lines = 0
        segments = self._corpus.segments(1 << 16)
        while runs := [segment.tokens for segment in islice(segments, RUNS)]:
            score = self._trainer.accuracy([(tokens, hashes[np.maximum(tokens, 0)]) for tokens in runs])
            hits, lines = hits + score[0], lines + score[1]
        log.info("Number of train examples: %d", lines)
        return self._model(), [Metric("train:accuracy", round(hits / max(lines, 1), DIGITS))]

    def _buckets(self) -> np.ndarray:
        """The buckets (n,) that the n-grams of the text fall into: those that have a row."""
        from optml.algorithms.kernels.words import classifier_cpu

        hyperparameters, vocabulary = self.hyperparameters, self._corpus.vocabulary
        if hyperparameters.word_ngrams == 1:
            return np.empty(0, np.int64)
        seen = np.zeros(hyperparameters.buckets, np.uint8)
        hashed = np.empty(classifier_cpu.FEATURES * hyperparameters.word_ngrams, np.int32)
        end = _number_of_end(vocabulary)
        for piece in self._corpus.pieces:
            classifier_cpu.mark(piece, vocabulary.hashes, end, hyperparameters.word_ngrams, seen, hashed)
        return np.flatnonzero(seen)

    def _make(self, state: Mapping[str, np.ndarray]) -> Trainer:
        """A trainer of the tables `x` and `y` of a state; without them, of random ones."""
        from optml.algorithms.kernels.machine import simd
        from optml.algorithms.kernels.machine.draws import uniform_rows
        from optml.algorithms.kernels.words.classifier import trainer

        hyperparameters, vocabulary = self.hyperparameters, self._corpus.vocabulary
        width, words, labels = hyperparameters.vector_dim, vocabulary.words, vocabulary.labels
        grams = hyperparameters.word_ngrams > 1
        rows = words + len(self._rows) + grams  # the last one for the buckets without a row: zeros
        require_memory(4 * simd.stride(width) * (rows + labels), f"{rows} rows of vector_dim={width}")
        x, y = simd.empty(rows, width), simd.empty(labels, width)
        if state:
            x[:, :width], y[:, :width] = state["x"], state["y"]
        else:
            keys = np.concatenate([np.arange(words), words + self._rows])
            uniform_rows(np.uint64(self.seed), keys, np.float32(1 / width), width, x)
        slots = np.full(hyperparameters.buckets if grams else 1, -1, np.int32)
        slots[self._rows] = words + np.arange(len(self._rows), dtype=np.int32)
        return trainer(
            x,
            y,
            self.device,
            hashes=vocabulary.hashes,
            slots=slots,
            words=words,
            end=_number_of_end(vocabulary),
            longest=hyperparameters.word_ngrams,
            rate=hyperparameters.learning_rate,
            total=float(hyperparameters.epochs * self._corpus.tokens),
            seed=self.seed,
        )

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._trainer.tables()
        width = self.hyperparameters.vector_dim
        return x[:, :width], y[:, :width]

    def _encode(self, channel: str, text: Held) -> list[tuple[np.ndarray, np.ndarray]]:
        """A channel's lines as tokens and their hashes; done once."""
        if channel not in self._encoded:
            self._encoded[channel] = _encoded(text.words, text.pieces, self._corpus.vocabulary)
        return self._encoded[channel]


def _number_of_end(vocabulary: Vocabulary) -> int:
    """Of the word that a line's end counts as, kept or not."""
    return int(vocabulary.entries.look_up(END)[0][0])


def _encoded(words: Words, pieces: list[np.ndarray], vocabulary: Vocabulary) -> list[Any]:
    """Numbers of `words` as those of the training text; a word that has none there gets one without a row,
    and a label that has none is dropped."""
    size = len(words)
    numbers, hashes = vocabulary.entries.look_up(b" ".join(words))
    labels = (numbers >= vocabulary.words) & (numbers < vocabulary.words + vocabulary.labels)
    code = np.where(numbers < 0, len(vocabulary.entries), numbers)
    code[labels] = LINE_END - 1 - (numbers[labels] - vocabulary.words)
    strange = words.begins_with(LABEL) & ~labels
    code = np.append(code, LINE_END).astype(np.int32)  # a line's end is number -1
    hashes = np.append(hashes, np.int32(0))
    strange = np.append(strange, False)
    assert len(code) == size + 1
    encoded = []
    for piece in pieces:
        known = piece[~strange[piece]]
        encoded.append((code[known], hashes[known]))
    return encoded

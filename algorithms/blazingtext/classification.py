"""Learning to classify text: mode supervised."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from optml.algorithms.base import Metric, Setting
from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.classifier import Classifier
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.blazingtext.limits import require_finite, require_memory, require_one_host
from optml.algorithms.blazingtext.progress import Progress
from optml.algorithms.blazingtext.quantized import Dense
from optml.algorithms.blazingtext.vocabulary import END, LABEL, LINE_END, Vocabulary, Words
from optml.algorithms.kernels.machine.threads import count
from optml.algorithms.stopping import Patience
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
        self.vocabulary: Vocabulary | None = None
        self._rows = np.empty(0, np.int64)  # the buckets that have a row
        self._trainer: Trainer | None = None
        self._saved: Mapping[str, np.ndarray] = {}
        self._corpus: Corpus | None = None
        self._progress: Progress | None = None
        self._epochs = 0  # behind us
        self._best = 0.0  # validation accuracy
        self._stale = 0
        self._encoded: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._finished = False

    def update(self, batch: Block) -> Iterable[Metric]:
        corpus, parameters = batch.corpus, self.hyperparameters
        total = float(parameters.epochs * corpus.tokens)
        if self._trainer is None:
            self._start(corpus, total)
        assert self._trainer is not None
        if self._progress is None:
            self._progress = Progress(total, parameters.learning_rate, LINE)
        self._corpus = corpus
        begin = batch.epoch * corpus.tokens
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
        pieces = [piece for held in batches for piece in self._encode(channel, held)]
        if not self._finished:
            if not self.hyperparameters.early_stopping or self._epochs < self.hyperparameters.min_epochs:
                return ()
            log.info("-------------- End of epoch: %d", self._epochs)
            log.info("Using %d threads for prediction!", count())
        hits, lines = self._ready().accuracy(pieces)
        if lines == 0:
            log.warning(
                "No line of channel '%s' has a label of the training text and a word: accuracy is 0", channel
            )
        accuracy = round(hits / max(lines, 1), DIGITS)
        if self._finished:
            log.info("Number of %s examples: %d", channel, lines)
            return [Metric(f"{channel}:accuracy", accuracy)]
        log.info("Validation accuracy: %.6g", hits / max(lines, 1))
        if accuracy > self._best:
            self._best, self._stale = accuracy, 0
            log.info("Validation accuracy improved! Storing best weights...")
        else:
            self._stale += 1
            log.info("Validation accuracy has not improved for last %d epochs.", self._stale)
        return [Metric(f"{channel}:accuracy", accuracy)]

    def stopping(self) -> tuple[Patience, str] | None:
        if not self.hyperparameters.early_stopping:
            return None
        return Patience(self.hyperparameters.patience, maximize=True), "validation:accuracy"

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {"seed": np.array(self.seed), "progress": np.array([self._epochs, self._best, self._stale])}
        if self.vocabulary is None:
            return state
        x, y = self._tables()
        return state | self.vocabulary.state_dict() | {"rows": self._rows, "x": x.copy(), "y": y.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.seed = int(state["seed"])
        epochs, self._best, stale = state["progress"].tolist()
        self._epochs, self._stale = int(epochs), int(stale)
        if "x" in state:
            self.vocabulary = Vocabulary.of_state(state)
            self._rows = np.array(state["rows"])
            self._saved = {name: np.array(state[name]) for name in ("x", "y")}
            self._trainer = None

    def model(self) -> Classifier | None:
        if self.vocabulary is None:
            return None
        parameters = self.hyperparameters
        x, y = self._tables()
        grams = parameters.word_ngrams > 1
        settings = fasttext_file.Settings(
            dim=parameters.vector_dim,
            window=parameters.window_size,
            epoch=parameters.epochs,
            min_count=parameters.min_count,
            negatives=parameters.negative_samples,
            word_ngrams=parameters.word_ngrams,
            loss=fasttext_file.SOFTMAX,
            model=fasttext_file.SUPERVISED,
            buckets=parameters.buckets if grams else 0,
            threshold=parameters.sampling_threshold,
        )
        return Classifier(
            settings, self.vocabulary.compact(), Dense(x), Dense(y), self._rows if grams else None
        )

    def finish(self) -> tuple[Classifier, Iterable[Metric]]:
        model = self.model()
        if model is None:
            raise UserError("channel 'train' is empty: there is no text in its data")
        require_finite(self._tables(), self.hyperparameters.learning_rate)
        if self._progress is not None:
            self._progress.ended(".")
        self._finished = True
        if self._corpus is None:  # resumed behind the last epoch
            return model, ()
        hashes = self._corpus.vocabulary.hashes
        hits = lines = 0
        segments = self._corpus.segments(1 << 16)
        while runs := [segment.tokens for segment in islice(segments, RUNS)]:
            found = self._ready().accuracy([(tokens, hashes[np.maximum(tokens, 0)]) for tokens in runs])
            hits, lines = hits + found[0], lines + found[1]
        log.info("Number of train examples: %d", lines)
        return model, [Metric("train:accuracy", round(hits / max(lines, 1), DIGITS))]

    def _ready(self) -> Trainer:
        """The trainer, also of a job that was resumed where it has nothing left to learn."""
        if self._trainer is None:
            assert self.vocabulary is not None
            self._make(self.vocabulary, 1.0)
        assert self._trainer is not None
        return self._trainer

    def _start(self, corpus: Corpus, total: float) -> None:
        from optml.algorithms.kernels.words import classifier_cpu

        parameters = self.hyperparameters
        vocabulary = corpus.vocabulary
        if not self._saved and parameters.word_ngrams > 1:
            seen = np.zeros(parameters.buckets, np.uint8)
            hashed = np.empty(classifier_cpu.FEATURES * parameters.word_ngrams, np.int32)
            end = _number_of_end(vocabulary)
            for piece in corpus.pieces:
                classifier_cpu.mark(piece, vocabulary.hashes, end, parameters.word_ngrams, seen, hashed)
            self._rows = np.flatnonzero(seen)
        self._make(vocabulary, total)

    def _make(self, vocabulary: Vocabulary, total: float) -> None:
        from optml.algorithms.kernels.machine import simd
        from optml.algorithms.kernels.machine.draws import uniform_rows
        from optml.algorithms.kernels.words.classifier import trainer

        parameters = self.hyperparameters
        width, words, labels = parameters.vector_dim, vocabulary.words, vocabulary.labels
        grams = parameters.word_ngrams > 1
        rows = words + len(self._rows) + grams  # the last one for the buckets without a row: zeros
        require_memory(4 * simd.stride(width) * (rows + labels), f"{rows} rows of vector_dim={width}")
        x, y = simd.empty(rows, width), simd.empty(labels, width)
        if self._saved:
            x[:, :width], y[:, :width] = self._saved["x"], self._saved["y"]
            self._saved = {}
        else:
            keys = np.concatenate([np.arange(words), words + self._rows])
            uniform_rows(np.uint64(self.seed), keys, np.float32(1 / width), width, x)
        slots = np.full(parameters.buckets if grams else 1, -1, np.int32)
        slots[self._rows] = words + np.arange(len(self._rows), dtype=np.int32)
        self.vocabulary = vocabulary
        self._trainer = trainer(
            x,
            y,
            self.device,
            hashes=vocabulary.hashes,
            slots=slots,
            words=words,
            end=_number_of_end(vocabulary),
            longest=parameters.word_ngrams,
            rate=parameters.learning_rate,
            total=total,
            seed=self.seed,
        )

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        if self._trainer is None:
            return self._saved["x"], self._saved["y"]
        x, y = self._trainer.tables()
        width = self.hyperparameters.vector_dim
        return x[:, :width], y[:, :width]

    def _encode(self, channel: str, held: Held) -> list[tuple[np.ndarray, np.ndarray]]:
        """A channel's lines as tokens and their hashes; done once."""
        if channel not in self._encoded:
            assert self.vocabulary is not None
            self._encoded[channel] = _encoded(held.words, held.pieces, self.vocabulary)
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
    found = []
    for piece in pieces:
        kept = piece[~strange[piece]]
        found.append((code[kept], hashes[kept]))
    return found

"""Learning word vectors: modes skipgram, cbow and batch_skipgram."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.blazingtext.limits import require_finite, require_memory, require_one_host
from optml.algorithms.blazingtext.progress import Progress
from optml.algorithms.blazingtext.quantized import Dense
from optml.algorithms.blazingtext.similarity import evaluate
from optml.algorithms.blazingtext.vectors import WordVectors
from optml.algorithms.kernels.words.terms import WordPlan
from optml.algorithms.metrics import Metric
from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.blazingtext.corpus import Corpus
    from optml.algorithms.blazingtext.data import Block
    from optml.algorithms.kernels.words.word2vec import Trainer

log = logging.getLogger(__name__)

MODES = ("skipgram", "cbow", "batch_skipgram")  # in the order of the kernel's numbers
# Of a word's count, in the distribution of negatives: Mikolov et al. 2013. With the 0.5 of fastText's code,
# cbow of novels gains .01 to .02 in rank correlation on WordSim-353 and SimLex-999, and loses as much in
# analogies.
POWER = 0.75
LINE = "Alpha: %.4f  Progress: %.2f%%  Million Words/sec: %.2f"


class Embedding:
    """State: the vocabulary; input rows of the words and of the buckets of their n-grams; output rows of the
    words. Hosts start equal, and average the rows that changed after each block."""

    round: int | None = None

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.seed = setting.seed
        self.lockstep = self.cluster.size > 1
        _require_fitting(setting)
        self.hyperparameters.advise()
        self._corpus: Corpus = setting.train.corpus
        if self.cluster.size > 1:
            self._require_one_text()
        self._rows, self._bags = self._subwords()  # the buckets that have a row; the rows of each word
        self._agreed: list[np.ndarray] = []  # the tables as all hosts had them last
        self._trainer = self._make({})
        total = float(self.hyperparameters.epochs * self._corpus.tokens)
        self._progress = Progress(total, self.hyperparameters.learning_rate, LINE)
        self._begun = False  # is anything learnt?
        self._final: WordVectors | None = None

    def update(self, batch: Block | None) -> Iterable[Metric]:
        self._begun = True
        if batch is not None:
            self._learn(batch)
        if self.cluster.size > 1:
            self._agree()
        return ()

    def end_round(self) -> Iterable[Metric]:
        return ()

    def evaluate(self, channel: str, batches: Iterable[Any]) -> Iterable[Metric]:
        """The mean rank correlation of the channel `evaluation`."""
        if self._final is None or not self.hyperparameters.evaluation:
            return ()
        log.info("Evaluating word embeddings....")
        scores = evaluate(self._final, batches)
        self._final.evaluation = scores
        log.info("%s", json.dumps(scores, indent=4, sort_keys=True))
        return [Metric("train:mean_rho", scores["mean_rho"])]

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        x, y = self._tables()
        return {
            "begun": np.array(self._begun),
            "text": self._corpus.fingerprint(),
            "x": x.copy(),
            "y": y.copy(),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._corpus.require_same(state["text"])
        self._begun = bool(state["begun"])
        del self._trainer  # its tables may be all that memory holds
        self._trainer = self._make(state)

    def model(self) -> WordVectors | None:
        return self._model() if self._begun else None

    def _model(self) -> WordVectors:
        hyperparameters = self.hyperparameters
        x, y = self._tables()
        grown = hyperparameters.subwords
        settings = fasttext_file.FastTextSettings(
            dim=hyperparameters.vector_dim,
            window=hyperparameters.window_size,
            epoch=hyperparameters.epochs,
            min_count=hyperparameters.min_count,
            negatives=hyperparameters.negative_samples,
            model=fasttext_file.CBOW if hyperparameters.mode == "cbow" else fasttext_file.SKIPGRAM,
            buckets=hyperparameters.buckets if grown else 0,
            shortest=hyperparameters.min_char if grown else 0,
            longest=hyperparameters.max_char if grown else 0,
            threshold=hyperparameters.sampling_threshold,
        )
        return WordVectors(
            settings, self._corpus.vocabulary.compact(), Dense(x), Dense(y), self._rows if grown else None
        )

    def finish(self) -> tuple[WordVectors, Iterable[Metric]]:
        self._progress.ended("!")
        require_finite(self._tables(), self.hyperparameters.learning_rate)
        self._final = self._model()
        return self._final, ()

    def _learn(self, block: Block) -> None:
        begin = block.epoch * self._corpus.tokens
        for turn in block.turns:
            self._trainer.learn([(segment.tokens, begin + segment.position) for segment in turn])
        last = block.segments[-1]
        self._progress.add(
            sum(len(segment.tokens) for segment in block.segments), begin + last.position + len(last.tokens)
        )

    def _make(self, state: Mapping[str, np.ndarray]) -> Trainer:
        """A trainer of the tables `x` and `y` of a state; without them, of random ones."""
        from optml.algorithms.kernels.machine import simd
        from optml.algorithms.kernels.machine.draws import uniform_rows
        from optml.algorithms.kernels.words import word2vec

        hyperparameters, vocabulary = self.hyperparameters, self._corpus.vocabulary
        width, words = hyperparameters.vector_dim, vocabulary.words
        starts, members = self._bags
        rows = (
            words + len(self._rows) + hyperparameters.subwords
        )  # the last one for the buckets without a row: zeros
        require_memory(4 * simd.stride(width) * (rows + words), f"{rows} rows of vector_dim={width}")
        x, y = simd.empty(rows, width), simd.empty(words, width)
        if state:
            x[:, :width], y[:, :width] = state["x"], state["y"]
        else:
            keys = np.concatenate([np.arange(words), words + self._rows])
            uniform_rows(np.uint64(self.seed), keys, np.float32(1 / width), width, x)
        counts = vocabulary.counts
        share = counts / counts.sum()
        ratio = hyperparameters.sampling_threshold / share
        plan = WordPlan(
            mode=MODES.index(hyperparameters.mode),
            keep=(np.minimum(np.sqrt(ratio) + ratio, 1.0) * 2**32).astype(np.int64),
            noise=counts.astype(np.float64) ** POWER,
            starts=starts,
            members=members,
            window=hyperparameters.window_size,
            negatives=hyperparameters.negative_samples,
            batch=hyperparameters.batch_size,
            end=vocabulary.end,
            rate=hyperparameters.learning_rate,
            total=float(hyperparameters.epochs * self._corpus.tokens),
            seed=self.seed,
        )
        if self.cluster.size > 1:
            self._agreed = [x.copy(), y.copy()]
        return word2vec.trainer(x, y, plan, self.device)

    def _subwords(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """The buckets (n,) that the words' n-grams fall into, and the input rows of each word: its own, then
        those of its buckets. Both empty where words are whole."""
        hyperparameters, vocabulary = self.hyperparameters, self._corpus.vocabulary
        if not hyperparameters.subwords:
            return np.empty(0, np.int64), (np.empty(0, np.int64), np.empty(0, np.int32))
        ends, buckets = vocabulary.ngrams(
            hyperparameters.min_char, hyperparameters.max_char, hyperparameters.buckets
        )
        words = vocabulary.words
        rows, places = np.unique(buckets.astype(np.int64), return_inverse=True)
        starts = ends + np.arange(words + 1)
        members = np.empty(starts[-1], np.int32)
        own = np.zeros(len(members), bool)
        own[starts[:-1]] = True
        members[own] = np.arange(words)
        members[~own] = words + places
        return rows, (starts, members)

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._trainer.tables()
        width = self.hyperparameters.vector_dim
        return x[:, :width], y[:, :width]

    def _agree(self) -> None:
        """Average each row over the hosts that changed it since they last agreed."""
        for table, agreed in zip(self._trainer.tables(), self._agreed, strict=True):
            hosts = (table != agreed).any(axis=1).astype(np.int64)
            self.cluster.all_sum(hosts)
            rows = np.flatnonzero(hosts)
            change = table[rows] - agreed[rows]
            self.cluster.all_sum(change)
            agreed[rows] += change / hosts[rows, None].astype(np.float32)
            table[rows] = agreed[rows]

    def _require_one_text(self) -> None:
        """Raise UserError, on all hosts alike, unless all have the same text."""
        own = self._corpus.fingerprint()
        hosts = self.cluster.gather(own)
        if any((host != own).any() for host in hosts):
            texts = "; ".join(f"{host[0]} words in {host[1]} tokens" for host in hosts)
            raise UserError(
                f"the hosts read different texts from channel 'train' ({texts}): every host must have all of "
                "it, S3DataDistributionType FullyReplicated; the hosts share it out themselves"
            )


def _require_fitting(setting: Setting) -> None:
    """Raise UserError for channels and hosts that the mode has no use for."""
    mode = setting.hyperparameters.mode
    if "validation" in setting.channels:
        raise UserError(
            f"channel 'validation' does not go with mode '{mode}': word vectors take the channel 'train' "
            "only; leave it out, or choose mode 'supervised'"
        )
    if setting.hyperparameters.early_stopping:
        raise UserError(f"early_stopping=True does not go with mode '{mode}': only 'supervised' is validated")
    evaluated = setting.hyperparameters.evaluation and "evaluation" in setting.channels
    if setting.tuned == "train:mean_rho" and not evaluated:
        raise UserError(
            "_tuning_objective_metric='train:mean_rho' needs evaluation=True and the channel 'evaluation': "
            "word pairs with human scores (WordSim-353), 'tiger cat 7.35' a line"
        )
    require_one_host(setting, distributed=mode == "batch_skipgram")
    where = "single machine GPU" if setting.device != "cpu" else "single machine CPU"
    if setting.cluster.size > 1:
        log.info(
            "Running distributed CPU BlazingText training using %s on %d hosts.", mode, setting.cluster.size
        )
    else:
        log.info("Running %s BlazingText training using %s mode.", where, mode)

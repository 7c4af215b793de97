"""Sequence-to-Sequence on a CPU: training and translating Multi30k, against plain PyTorch in the same run.

    python -m benchmarks.seq2seq [speed|quality] [--epochs N]

speed     target tokens per second of processor time of training, ours and the same network in plain PyTorch
          (`benchmarks.plain_translator`), with the same first weights and batches, and the perplexity of
          both on the validation pairs behind the same updates; sentences per second, greedy and beam 5.
quality   epochs with rnn_num_hidden 256 and dropout .3: perplexity of the validation pairs behind each, and
          BLEU of the test pairs of 2016 (beam 5, lower case, on tokens).

Texts are lower-cased and parted at punctuation; words that occur once are unknown, in the small setting.
"""

from __future__ import annotations

import gzip
import re
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from optml.container.group import Alone

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "multi30k_en_de"
TOKEN = re.compile(r"\w+|[^\w\s]")
SMALL = {"num_embed_source": 256, "num_embed_target": 256, "rnn_num_hidden": 256, "batch_size": 128}
# name, hyperparameters, how often a word must occur, updates
SETTINGS = (("256, batch 128", SMALL, 2, 40), ("AWS's defaults", {}, 1, 4))
WARM = 2  # updates before the clock runs


def texts(name: str, language: str) -> list[list[str]]:
    with gzip.open(DATA / f"{name}.{language}.gz", "rt", encoding="utf-8") as lines:
        return [TOKEN.findall(line.lower()) for line in lines]


class Corpus:
    """The pairs of every part as ids, and the vocabularies."""

    def __init__(self, least: int) -> None:
        from optml.algorithms.seq2seq.records import FILES, RESERVED, Vocabularies
        from optml.algorithms.sequences import vocabulary

        words = {side: texts("train", side) for side in ("en", "de")}
        tables = [
            vocabulary.build(vocabulary.count(" ".join(line) for line in lines), RESERVED, 50_000, least)
            for lines in words.values()
        ]
        files = {name: vocabulary.write(table) for name, table in zip(FILES, tables, strict=True)}
        self.vocabularies = Vocabularies.of(files, "the corpus")
        self.parts = {name: self._pairs(name) for name in ("train", "val", "test_2016_flickr")}

    def _pairs(self, name: str) -> Any:
        from optml.algorithms.seq2seq.records import Pairs
        from optml.algorithms.sequences.ragged import Sequences

        sides = [
            Sequences.of([[table.get(word, 1) for word in line] for line in texts(name, side)])
            for side, table in zip(("en", "de"), self.vocabularies.ids, strict=True)
        ]
        return Pairs(*sides)


class _Vocab:
    """The channel `vocab`."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def streams(self) -> Any:
        import io

        return ((name, io.BytesIO(content)) for name, content in self._files.items())


def learner(corpus: Corpus, **given: Any) -> tuple[Any, Any, Any]:
    """A learner, and the channels train and validation."""
    from optml.algorithms.base import Setting
    from optml.algorithms.seq2seq import ALGORITHM
    from optml.algorithms.seq2seq.data import Channel
    from optml.algorithms.seq2seq.learner import Learner

    settings = ALGORITHM.hyperparameters(**given)
    setting = Setting(settings, Alone(), auxiliary={"vocab": _Vocab(corpus.vocabularies.files)})  # type: ignore[dict-item]
    train = Channel(corpus.parts["train"], setting, (0, 1), train=True)
    validation = Channel(corpus.parts["val"], setting, (0, 1), train=False)
    return Learner(replace(setting, train=train)), train, validation


def speed() -> list[dict[str, Any]]:
    import torch

    from benchmarks import plain_translator as plain

    rows = []
    for name, given, least, updates in SETTINGS:
        corpus = Corpus(least)
        ours, train, validation = learner(corpus, **given)
        settings = ours.hyperparameters
        peer = plain.Plain(corpus.vocabularies.sizes, settings.num_embed_source, settings.rnn_num_hidden)
        plain.adopt(peer, ours.module)
        optimizer = torch.optim.Adam(peer.parameters(), settings.learning_rate)
        batches = list(train.epoch(0))[: updates + WARM]
        seconds, tokens = np.zeros(2), 0
        both = ours.update, partial(plain.update, peer, optimizer)
        for number, batch in enumerate(batches):
            for place, work in enumerate(both):
                start = time.process_time()
                work(batch)
                seconds[place] += time.process_time() - start if number >= WARM else 0.0
            tokens += batch.tokens if number >= WARM else 0
        scored = list(validation.epoch(0))
        of_peer = sum(plain.loss(peer, batch) for batch in scored) / sum(batch.tokens for batch in scored)
        of_ours = next(metric.value for metric in ours.evaluate("validation", scored))
        rows.append(
            {
                "part": "speed", "setting": name, "vocabularies": corpus.vocabularies.sizes,
                "updates": len(batches), "tokens_per_cpu_second": float(tokens / seconds[0]),
                "plain": float(tokens / seconds[1]), "ratio": float(seconds[1] / seconds[0]),
                "perplexity": of_ours, "perplexity_of_plain": float(np.exp(of_peer)),
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
        if least > 1:
            rows += translating(ours, corpus)
    return rows


def translating(ours: Any, corpus: Corpus) -> list[dict[str, Any]]:
    from optml.algorithms.seq2seq.search import translate

    sources = corpus.parts["test_2016_flickr"].sources
    rows = []
    for beam in (1, 5):
        start, wall = time.process_time(), time.perf_counter()
        found = translate(ours.module, sources, ours.lengths.limits(sources.lengths), beam, "cpu")
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
        said = sum(len(one.ids) + 1 for one in found)
        rows.append(
            {
                "part": "translating", "beam": beam, "sentences": len(sources), "tokens": said,
                "per_cpu_second": len(sources) / seconds, "per_second": len(sources) / wall,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def quality(epochs: int) -> list[dict[str, Any]]:
    from optml.algorithms.seq2seq import bleu
    from optml.algorithms.seq2seq.search import translate

    corpus = Corpus(2)
    dropout = dict.fromkeys(
        ("embed_dropout_source", "embed_dropout_target", "rnn_decoder_hidden_dropout"), 0.3
    )
    ours, train, validation = learner(corpus, **SMALL, **dropout, learning_rate=0.001, bleu_sample_size=0)
    test = corpus.parts["test_2016_flickr"]
    references = [part.tolist() for part in np.split(test.targets.ids, test.targets.bounds[1:-1])]
    rows = []
    start = time.process_time()
    for epoch in range(epochs):
        for batch in train.epoch(epoch):
            ours.update(batch)
        values = {
            metric.name: metric.value
            for metric in [*ours.end_round(), *ours.evaluate("validation", validation.epoch(0))]
        }
        rows.append(
            {"part": "quality", "epoch": epoch + 1, "cpu_seconds": time.process_time() - start, **values}
        )
        print(rows[-1], flush=True)
    for beam in (1, 5):
        found = translate(ours.module, test.sources, ours.lengths.limits(test.sources.lengths), beam, "cpu")
        pairs = ((one.ids.tolist(), other) for one, other in zip(found, references, strict=True))
        value = 100 * bleu.score(bleu.counts(pairs))
        rows.append({"part": "bleu", "beam": beam, "epochs": epochs, "bleu": value})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("part", nargs="?", choices=("speed", "quality"))
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no {DATA}: the texts of Multi30k are needed")
    if arguments.part in (None, "speed"):
        print(save("seq2seq-cpu", speed(), folder=arguments.out))
    if arguments.part in (None, "quality"):
        print(save("seq2seq-multi30k", quality(arguments.epochs), folder=arguments.out))


if __name__ == "__main__":
    main()

"""BlazingText beside gensim and fastText: words or lines a second, and quality, in one run.

    python -m benchmarks.blazingtext [--data DIR] [--fasttext PYTHON] [words] [labels]

DIR holds novels_word2vec, cooking_stackexchange and rt_polarity. PYTHON (or OPTML_FASTTEXT) is that of
an environment of its own with fastText 0.9.3 and NumPy 1, with which its predict works; gensim comes
with the `bench` extra.

words   skipgram, cbow and batch_skipgram, 100 wide, window 5, 5 negatives, t 1e-4, lr 0.05, 5 epochs, on all
        cores; three seeds, contestants in turn; speed is that of the fastest run. Quality: Spearman on
        WordSim-353 and SimLex-999, share of the analogies solved by 3CosAdd among the 30,000 most frequent
        words. Seconds are of training alone: the vocabulary is there. Words/s of a core come from processor
        time, for other work may share the machine.
labels  supervised, settings of fastText's tutorial; seconds of the whole training call, reading included.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save

WIDE, WINDOW, NEGATIVES, THRESHOLD, RATE, EPOCHS, MIN_COUNT = 100, 5, 5, 1e-4, 0.05, 5, 5
SEEDS = 3
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Run in fastText's environment. Its Python functions refuse the seed that they hand on to the library.
FASTTEXT_SEED = """
import sys
from fasttext import FastText
build = FastText._build_args
def seeded(*given):
    arguments = build(*given)
    arguments.seed = int(sys.argv[1])
    return arguments
FastText._build_args = seeded
"""
# Training reads the file first: what an epoch more takes is timed.
FASTTEXT_WORDS = """
import sys, time, json, fasttext
path, mode, out, threads = sys.argv[2:]
given = dict(model=mode, dim=100, ws=5, minCount=5, neg=5, lr=0.05, t=1e-4, minn=0, maxn=0, verbose=0,
             thread=int(threads))
times = []
while len(times) < 2:  # it gives up at random ("Encountered NaN") where a thread has seen no example yet
    start, used = time.perf_counter(), time.process_time()
    try:
        model = fasttext.train_unsupervised(path, epoch=(1, 5)[len(times)], **given)
    except RuntimeError:
        continue
    times.append((time.perf_counter() - start, time.process_time() - used))
with open(out, "w") as file:
    for word in model.words:
        print(word, *model.get_word_vector(word), file=file)
print(json.dumps([(times[1][i] - times[0][i]) * 5 / 4 for i in range(2)]))
"""
FASTTEXT_LABELS = """
import sys, time, json, fasttext
train, test, given, threads = sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), int(sys.argv[5])
start, used = time.perf_counter(), time.process_time()
model = fasttext.train_supervised(train, thread=threads, verbose=0, **given)
times = time.perf_counter() - start, time.process_time() - used
print(json.dumps([*times, model.test(test)[1]]))
"""


class File:
    """A file as a channel (`algorithms.sources.Source`)."""

    media, mode, wrapper = "text/plain", "File", "None"

    def __init__(self, path: Path, name: str = "train") -> None:
        self.name, self._path = name, path

    def stopped(self) -> bool:
        return False

    def streams(self) -> Iterator[tuple[str, Any]]:
        with self._path.open("rb") as stream:
            yield self._path.name, stream


def learner(path: Path, seed: int, **given: Any) -> tuple[Any, Any, Any]:
    from optml.algorithms.base import Setting
    from optml.algorithms.blazingtext import ALGORITHM
    from optml.algorithms.blazingtext.data import TrainChannel
    from optml.container.group import Alone

    assert ALGORITHM.training.learner is not None
    setting = Setting(ALGORITHM.hyperparameters(**given), Alone(), seed=seed)
    data = TrainChannel(File(path), setting)  # type: ignore[arg-type]
    return ALGORITHM.training.learner(replace(setting, train=data)), data, setting.hyperparameters


def ours(path: Path, mode: str, seed: int) -> tuple[list[str], np.ndarray, float, float]:
    """Words, vectors, seconds and processor seconds."""
    made, data, parameters = learner(path, seed, mode=mode, learning_rate=RATE, epochs=EPOCHS)
    start, used = time.perf_counter(), time.process_time()
    for epoch in range(parameters.epochs):
        for block in data.epoch(epoch):
            made.update(block)
    times = time.perf_counter() - start, time.process_time() - used
    model = made.model()
    words = [word.decode() for word in model.vocabulary.entries]
    return words, model.matrix(0, len(words)), *times


def gensim(path: Path, mode: str, seed: int, threads: int) -> tuple[list[str], np.ndarray, float, float]:
    from gensim.models import Word2Vec

    sentences = [line.split() for line in path.open()]
    model = Word2Vec(
        vector_size=WIDE, window=WINDOW, min_count=MIN_COUNT, negative=NEGATIVES, sample=THRESHOLD,
        alpha=RATE, sg=int(mode != "cbow"), workers=threads, seed=seed,
    )  # fmt: skip
    model.build_vocab(sentences)
    start, used = time.perf_counter(), time.process_time()
    model.train(sentences, total_examples=model.corpus_count, epochs=EPOCHS)
    times = time.perf_counter() - start, time.process_time() - used
    return list(model.wv.index_to_key), model.wv.vectors, *times


def in_fasttext(python: str, script: str, seed: int, *given: object) -> Any:
    command = [python, "-c", FASTTEXT_SEED + script, str(seed), *map(str, given)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def fasttext(python: str, path: Path, mode: str, seed: int, threads: int) -> tuple[Any, ...]:
    with tempfile.NamedTemporaryFile("r") as out:
        times = in_fasttext(python, FASTTEXT_WORDS, seed, path, mode, out.name, threads)
        rows = [line.split(" ") for line in out]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32), *times


def quality(words: list[str], vectors: np.ndarray, folder: Path) -> dict[str, float]:
    from scipy.stats import spearmanr

    place = {word: number for number, word in enumerate(words)}
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = {}
    for name, file in (("wordsim353", "wordsim353.tsv"), ("simlex999", "simlex999.txt")):
        rows = [
            line.lower().split("\t") for line in (folder / file).read_text().splitlines() if line[:1] != "#"
        ]
        rows = [row for row in rows if row[0] in place and row[1] in place]
        likeness = [unit[place[row[0]]] @ unit[place[row[1]]] for row in rows]
        found[name] = float(spearmanr(likeness, [float(row[2]) for row in rows])[0])
    lines = [line.lower().split() for line in (folder / "questions-words.txt").open() if line[0] != ":"]
    questions = np.array([[place[w] for w in line] for line in lines if all(w in place for w in line)])
    questions = questions[(questions < 30_000).all(axis=1)]
    known = unit[:30_000]
    hits = 0
    for start in range(0, len(questions), 500):
        a, b, c, d = questions[start : start + 500].T
        scores = (known[b] - known[a] + known[c]) @ known.T
        for given in (a, b, c):
            scores[np.arange(len(a)), given] = -np.inf
        hits += int((scores.argmax(axis=1) == d).sum())
    return found | {"analogies": hits / len(questions)}


def contestants(path: Path, python: str, threads: int) -> dict[str, Callable[[int], tuple[Any, ...]]]:
    """By name: from a seed to words, vectors, seconds and processor seconds."""
    found: dict[str, Callable[[int], tuple[Any, ...]]] = {}
    for mode in ("skipgram", "cbow", "batch_skipgram"):
        found[f"optml {mode}"] = lambda seed, mode=mode: ours(path, mode, seed)
    for mode in ("skipgram", "cbow"):
        found[f"gensim {mode}"] = lambda seed, mode=mode: gensim(path, mode, seed, threads)
        found[f"fasttext {mode}"] = lambda seed, mode=mode: fasttext(python, path, mode, seed, threads)
    return found


def words(folder: Path, python: str, threads: int, seeds: int, scratch: Path) -> list[dict[str, Any]]:
    path = scratch / "novels.txt"
    path.write_bytes(lzma.decompress((folder / "novels_word2vec/corpus.txt.xz").read_bytes()))
    tokens = len(path.read_bytes().split())
    runs: dict[str, list[Any]] = {}
    for seed in range(1, seeds + 1):
        for name, run in contestants(path, python, threads).items():
            names, vectors, seconds, used = run(seed)
            found = seconds, used, quality(names, vectors, folder / "novels_word2vec")
            runs.setdefault(name, []).append(found)
            print(f"  {name} seed {seed}: {seconds:.1f} s, {used:.1f} s of processor", found[2], flush=True)
    rows = [_row(name, found, tokens * EPOCHS) for name, found in runs.items()]
    for row in rows:
        print(
            f"{row['contestant']:22} {row['words_per_second'] / 1e6:6.2f} M words/s "
            f"{row['words_per_core_second'] / 1e6:6.2f} M a core  WordSim {row['wordsim353']:.3f} "
            f"SimLex {row['simlex999']:.3f} analogies {row['analogies']:.3f}"
        )
    return rows


def _row(name: str, found: list[Any], tokens: int) -> dict[str, Any]:
    scores = {key: [run[2][key] for run in found] for key in found[0][2]}
    return {
        "contestant": name,
        "seeds": len(found),
        "words_per_second": tokens / min(run[0] for run in found),
        "words_per_core_second": tokens / min(run[1] for run in found),
        **{key: float(np.mean(values)) for key, values in scores.items()},
        "spread": {key: float(np.std(values)) for key, values in scores.items()},
    }


def texts(folder: Path, scratch: Path) -> dict[str, tuple[Path, Path, int]]:
    """Training file, test file and number of training lines of each set."""
    sets = {}
    for part in ("train", "valid"):
        name = f"cooking_stackexchange/cooking.{part}.gz"
        (scratch / f"cooking.{part}").write_bytes(gzip.decompress((folder / name).read_bytes()))
    sets["cooking"] = scratch / "cooking.train", scratch / "cooking.valid", 12404
    packed = (folder / "rt_polarity/rt-polarity.all.gz").read_bytes()
    lines = gzip.decompress(packed).decode("latin-1").splitlines()
    kept = [f"__label__{line}\n" for line in lines]
    # They come sorted by label. We shuffle lines, fastText does not: here it is done for both.
    test = [line for i, line in enumerate(kept) if i % 10 == 9]
    train = [line for i, line in enumerate(kept) if i % 10 != 9]
    np.random.default_rng(0).shuffle(train)
    (scratch / "rt.train").write_text("".join(train))
    (scratch / "rt.test").write_text("".join(test))
    sets["rt_polarity"] = scratch / "rt.train", scratch / "rt.test", len(train)
    return sets


SETTINGS = {
    "cooking": {"epoch": 25, "lr": 1.0, "wordNgrams": 2, "minCount": 1, "dim": 100},
    "rt_polarity": {"epoch": 10, "lr": 0.5, "wordNgrams": 2, "minCount": 1, "dim": 100},
}


def classify(train: Path, test: Path, seed: int, given: dict[str, Any]) -> tuple[float, float, float]:
    from optml.algorithms.blazingtext.data import ValidationChannel

    start, used = time.perf_counter(), time.process_time()
    made, data, parameters = learner(
        train, seed, mode="supervised", epochs=given["epoch"], learning_rate=given["lr"],
        word_ngrams=given["wordNgrams"], min_count=given["minCount"], vector_dim=given["dim"],
    )  # fmt: skip
    for epoch in range(parameters.epochs):
        for block in data.epoch(epoch):
            made.update(block)
    times = time.perf_counter() - start, time.process_time() - used
    made.finish()
    blocks = ValidationChannel(File(test, "validation")).epoch(0)  # type: ignore[arg-type]
    return *times, next(iter(made.evaluate("validation", blocks))).value


def labels(folder: Path, python: str, threads: int, seeds: int, scratch: Path) -> list[dict[str, Any]]:
    rows = []
    for name, (train, test, lines) in texts(folder, scratch).items():
        given = SETTINGS[name]
        runs: dict[str, list[Any]] = {"optml": [], "fasttext": []}
        for seed in range(1, seeds + 1):
            runs["optml"].append(classify(train, test, seed, given))
            found = in_fasttext(python, FASTTEXT_LABELS, seed, train, test, json.dumps(given), threads)
            runs["fasttext"].append(found)
        for who, found in runs.items():
            best, used = min(run[0] for run in found), min(run[1] for run in found)
            row = {
                "set": name,
                "contestant": who,
                "lines_per_second": lines * given["epoch"] / best,
                "lines_per_core_second": lines * given["epoch"] / used,
                "accuracy": float(np.mean([run[2] for run in found])),
                "spread": float(np.std([run[2] for run in found])),
            }
            rows.append(row)
            print(
                f"{name:12} {who:9} {row['lines_per_second']:10.0f} lines/s "
                f"{row['lines_per_core_second']:10.0f} a core  accuracy {row['accuracy']:.4f} "
                f"+- {row['spread']:.4f}"
            )
    return rows


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", default=["words", "labels"], help="words, labels")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--fasttext", default=os.environ.get("OPTML_FASTTEXT", sys.executable), help="the Python that has it"
    )
    given = parser.parse_args()
    from optml.algorithms.kernels.machine.threads import count

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, part in (("words", words), ("labels", labels)):
            if name in given.parts:
                rows += part(given.data, given.fasttext, count(), given.seeds, Path(scratch))
    print(f"written: {save('blazingtext-cpu', rows, folder=given.out, threads=count(), seeds=given.seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

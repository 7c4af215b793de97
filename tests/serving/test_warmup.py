"""A first request finds everything there: it imports nothing and compiles nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.formats import tabular
from optml.formats.content_type import RECORDIO_PROTOBUF, ContentType
from optml.formats.records import Records
from optml.serving.batching import Gate
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from optml.serving.warmup import samples
from tests.serving.every import NAMES, content_types, request, served

# In a process of its own, for this one has imported nearly everything: one for all, which forks before it
# loads a model.
FIRST_REQUESTS = """
import json, os, sys
from pathlib import Path
from optml.serving.batching import Gate
from optml.serving.models import load
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings

def first_requests(folder):
    predictor = Predictor(load(folder / "model"), Gate(1), Settings())
    recorder = None
    if "numba" in sys.modules:
        from numba.core.event import install_recorder
        recorder = install_recorder("numba:compile")
        compiled = recorder.__enter__()
    known = set(sys.modules)
    for path in sorted((folder / "requests").iterdir()):
        media = path.name.split(" ")[0].replace("_", "/")
        predictor.answer(path.read_bytes(), media, "", float("inf"))
    imported = sorted(set(sys.modules) - known)
    return imported, [str(event.data["dispatcher"]) for _, event in compiled.buffer] if recorder else []

for folder in map(Path, sys.argv[1:]):
    child = os.fork()
    if child == 0:
        (folder / "effects").write_text(json.dumps(first_requests(folder)))
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def first_requests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Of each model, what was imported and compiled by the first requests of each kind."""
    folders = {name: tmp_path_factory.mktemp("first") for name in NAMES}
    for name, folder in folders.items():
        (folder / "model").mkdir()
        served(name).model.save(folder / "model")
        (folder / "requests").mkdir()
        for media in content_types(name):
            (folder / "requests" / media.replace("/", "_")).write_bytes(request(name, media))
            if media == RECORDIO_PROTOBUF and served(name).algorithm.inference.decode is None:  # of a table
                rows = csr_array(np.ones((100, 3), np.float32))
                body = tabular.write(Records(rows), ContentType(media))
                (folder / "requests" / f"{media.replace('/', '_')} many").write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUESTS, *map(str, folders.values())],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    effects = {name: folder / "effects" for name, folder in folders.items()}
    return {
        name: json.loads(path.read_text()) if path.exists() else done.stdout + done.stderr
        for name, path in effects.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_first_request_imports_and_compiles_nothing(name: str, first_requests: dict[str, object]) -> None:
    assert first_requests[name] == [[], []]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_answers_its_samples(name: str) -> None:
    """For one that does not do is passed over."""
    predictor = Predictor(served(name), Gate(1), Settings())
    tried = set()
    for media, body in samples(served(name)):
        records = predictor.decode(body, ContentType(media))
        assert predictor.written(served(name).model.predict(records, {}), media, records, {})
        tried.add(media)
    assert tried == set(content_types(name))

"""A first request finds everything there: it imports nothing and compiles nothing."""

from __future__ import annotations

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

# In a process of its own, for this one has imported nearly everything.
FIRST_REQUESTS = """
import sys
from pathlib import Path
from optml.serving.batching import Gate
from optml.serving.models import load
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings

folder = Path(sys.argv[1])
predictor = Predictor(load(folder / "model"), Gate(1), Settings())
known = set(sys.modules)
compiled = None
if "numba" in known:
    from numba.core.event import install_recorder
    recorder = install_recorder("numba:compile")
    compiled = recorder.__enter__()
known = set(sys.modules)
for path in sorted((folder / "requests").iterdir()):
    media = path.name.split(" ")[0].replace("_", "/")
    predictor.answer(path.read_bytes(), media, "", float("inf"))
print("imported", sorted(set(sys.modules) - known))
print("compiled", [event.data["dispatcher"] for _, event in compiled.buffer] if compiled else [])
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_first_request_imports_and_compiles_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    served(name).model.save(tmp_path / "model")
    (tmp_path / "requests").mkdir()
    for media in content_types(name):
        (tmp_path / "requests" / media.replace("/", "_")).write_bytes(request(name, media))
        if media == RECORDIO_PROTOBUF:
            rows = csr_array(np.ones((100, 3), np.float32))
            body = tabular.write(Records(rows), ContentType(media))
            (tmp_path / "requests" / f"{media.replace('/', '_')} many").write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUESTS, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "imported []\ncompiled []\n", done.stdout + done.stderr


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

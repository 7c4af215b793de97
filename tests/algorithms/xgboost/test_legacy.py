from __future__ import annotations

import contextlib
import io
import json
import pickle
import pickletools
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.xgboost import boosters
from optml.algorithms.xgboost.legacy import Forest, cut_from_pickle, is_pickle
from optml.algorithms.xgboost.model import Model, load
from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.xgboost.runs import both, train
from tests.shared import SHARED, needs_shared

ARTIFACTS = SHARED / "golden" / "aws_artifacts"
CONTAINER = SHARED / "golden" / "xgboost-container" / "models"

# A tree of three nodes in the binary format, by hand: x0 < 0.5 ? 1 : 2, base score 0, squared error.
OBJECTIVE = b"reg:squarederror"
LEARNER = struct.pack("<fIi", 0.0, 2, 0) + struct.pack("<iiII", 0, 0, 1, 0) + bytes(108)
GBTREE = struct.pack("<iiiiqii", 1, 1, 2, 0, 0, 0, 0) + bytes(128)
TREE = struct.pack("<iiiiii", 1, 3, 0, 1, 2, 0) + bytes(124)
NODES = b"".join(
    struct.pack("<IiiIf", *node)
    for node in ((0xFFFFFFFF, 1, 2, 0 | 1 << 31, 0.5), (0 | 1 << 31, -1, -1, 0, 1.0), (0, -1, -1, 0, 2.0))
)
STATISTICS = bytes(16 * 3)
BINARY = (
    LEARNER
    + struct.pack("<Q", len(OBJECTIVE))
    + OBJECTIVE
    + struct.pack("<Q", 6)
    + b"gbtree"
    + GBTREE
    + TREE
    + NODES
    + STATISTICS
    + struct.pack("<i", 0)
)


def test_the_binary_format_is_read() -> None:
    forest = Forest.read(BINARY, "model")
    assert (forest.objective, forest.width, forest.num_class) == ("reg:squarederror", 2, 0)
    rows = np.array([[0.4, 9], [0.6, 9], [np.nan, 9]], np.float32)
    np.testing.assert_array_equal(forest.predict(rows), [1, 2, 1])  # what is missing goes left
    many = np.tile(rows, (40, 1))
    np.testing.assert_array_equal(forest.predict(many), np.tile([1, 2, 1], 40))


class Booster:
    """Pickles as an old engine's does: state with the model in a bytearray under `handle`."""

    def __init__(self, handle: bytes) -> None:
        self.feature_names = ["handle_of_a_door", "f1"]
        self.handle = bytearray(handle)
        self.best_iteration = 0


Booster.__module__, Booster.__qualname__ = "xgboost.core", "Booster"


def pickle_of(handle: bytes, protocol: int, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr("xgboost.core.Booster", Booster)
    return pickle.dumps(Booster(handle), protocol)


@pytest.mark.parametrize("protocol", range(6))
def test_the_model_is_cut_out_of_a_pickle_of_any_protocol(
    protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pickle_of(BINARY, protocol, monkeypatch)
    assert is_pickle(content)
    assert cut_from_pickle(content, "model") == BINARY
    with_configuration = b"CONFIG-offset:" + struct.pack("<q", len(BINARY)) + BINARY + b'{"version": 1}'
    assert cut_from_pickle(pickle_of(with_configuration, protocol, monkeypatch), "model") == BINARY


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    for content in (pickle.dumps(Bomb()), pickle.dumps([Bomb(), "xgboost"])):
        (tmp_path / "xgboost-model").write_bytes(content)
        with pytest.raises(UserError):
            load(tmp_path, "cpu")


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 150))
def test_damage_is_an_error_of_the_user(noise: bytes, at: int) -> None:
    for content in (noise, BINARY[:at] + noise, b"\x80\x03cxgboost.core\n" + noise):
        with contextlib.suppress(UserError):
            cut_from_pickle(content, "model") if is_pickle(content) else Forest.read(content[:300], "model")


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "xgboost-model"
    for content in (BINARY[:200], b"{L" + bytes(20), b'{"learner": {}}', b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="xgboost-model"):
            load(tmp_path, "cpu")


def test_a_pickle_of_a_newer_engine_is_read(tmp_path: Path) -> None:
    result = train(both(), tmp_path)
    content = pickle.dumps(result.model.members[0].booster)
    assert any(argument == "handle" for _, argument, _ in pickletools.genops(content))
    (tmp_path / "xgboost-model").write_bytes(content)
    rows = Records(np.ones((2, 5), np.float32))
    ours = load(tmp_path, "cpu").predict(rows, {})["score"]
    np.testing.assert_array_equal(ours, result.model.predict(rows, {})["score"])


def unpack(name: str, folder: Path) -> Model:
    with tarfile.open(fileobj=io.BytesIO((ARTIFACTS / name).read_bytes())) as archive:
        archive.extractall(folder, filter="data")
    return load(folder, "cpu")


@needs_shared("golden/aws_artifacts")
def test_answers_that_aws_gave_are_met(tmp_path: Path) -> None:
    model = unpack("xgboost-aws-churn/model.tar.gz", tmp_path)
    folder = ARTIFACTS / "xgboost-aws-churn"
    rows = np.genfromtxt(folder / "input.csv", delimiter=",", dtype=np.float32)
    answers = np.genfromtxt(folder / "validation_with_predictions.csv", delimiter=",", names=True)
    assert len(rows) == len(answers) == 201
    score = model.predict(Records(rows), {})["score"]
    np.testing.assert_allclose(score, answers["probability"], atol=1e-6)
    one = np.concatenate([model.predict(Records(row[None]), {})["score"] for row in rows])
    np.testing.assert_array_equal(one, score)


@needs_shared("golden/aws_artifacts")
@pytest.mark.parametrize("name", ["music", "registry"])
def test_models_of_engines_one_to_two_are_walked_rightly(tmp_path: Path, name: str) -> None:
    model = unpack(f"xgboost-aws-{name}/model.tar.gz", tmp_path)
    facts = json.loads((ARTIFACTS / f"xgboost-aws-{name}" / "computed.json").read_text())
    margin = np.array(facts["margin"])
    expected = 1 / (1 + np.exp(-margin)) if name == "music" else margin
    score = model.predict(Records(np.array(facts["rows"], np.float32)), {})["score"]
    np.testing.assert_allclose(score, expected, rtol=1e-6)


@needs_shared("golden/xgboost-container")
def test_the_two_old_models_of_the_open_container_are_one() -> None:
    rows = Records(np.random.default_rng(0).random((50, 4), dtype=np.float32) * 6)
    answers = []
    for name in ("saved_booster", "pickled_model"):
        model = load(CONTAINER / name, "cpu")
        member = model.members[0]
        assert isinstance(member, Forest)
        assert (member.trees.num_tree, member.width, member.num_class) == (60, 4, 3)
        answers.append(model.predict(rows, {})["score"])
    np.testing.assert_array_equal(*answers)
    np.testing.assert_allclose(answers[0].sum(axis=1), 1, atol=1e-6)


NODE = len(LEARNER) + 8 + len(OBJECTIVE) + 8 + 6 + len(GBTREE) + len(TREE)  # where the first one lies


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (NODE + 4, 0, "linked wrongly"),  # the root is its own left child: round and round
        (NODE + 8, 1, "linked wrongly"),  # one node is both children
        (NODE + 4, 7, "linked wrongly"),
        (NODE + 12, 5, "splits a feature beyond the 2"),
        (NODE + 20 + 12, -1, "a node that is none"),
        (NODE - len(TREE) + 4, 1 << 30, "1073741824 nodes"),
        (NODE - len(TREE) - len(GBTREE), -1, "-1 trees"),
        (NODE - len(TREE) - len(GBTREE), 2, "damaged"),
        (len(BINARY) - 4, 3, "a class that the model does not have"),
    ],
)
def test_what_would_lead_a_reader_astray_is_refused(at: int, value: int, message: str) -> None:
    content = BINARY[:at] + struct.pack("<i", value) + BINARY[at + 4 :]
    with pytest.raises(UserError, match=message):
        Forest.read(content, "model")


def test_a_native_model_cut_anywhere_is_named(tmp_path: Path) -> None:
    model = train(both(), tmp_path, num_round=2, max_depth=2).model
    content = boosters.raw(model.members[0].booster)
    path = tmp_path / "xgboost-model"
    for length in range(1, len(content), 11):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="xgboost-model"):
            boosters.read(path)


def test_damage_that_the_library_quotes_is_named(tmp_path: Path) -> None:
    (tmp_path / "xgboost-model").write_bytes(b'{"learner":{"learner_model_param":\xf4}}')
    with pytest.raises(UserError, match="damaged XGBoost model"):
        load(tmp_path, "cpu")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        boosters.read(tmp_path / "xgboost-model")

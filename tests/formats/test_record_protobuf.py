import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import record_protobuf as protobuf
from optml.formats.layout import Layout
from optml.formats.record_layout import RecordLayout
from optml.formats.record_message import messages, parse, record_class, tensor
from optml.formats.recordio import MAGIC_BYTES, cut_frames, frame, payloads
from optml.formats.records import Records, concatenate
from tests.shared import SHARED, needs_shared

GOLDEN = SHARED / "golden/recordio"
TYPES = {"f32": "float32", "f64": "float64", "i32": "int32"}


def read(data: bytes, layout: Layout | None = None, block_bytes: int = 1 << 20) -> Records:
    stream = io.BytesIO(data)
    return concatenate(protobuf.read(stream, layout or Layout(), source="a.pbr", block_bytes=block_bytes))


def message(**fields: Any) -> bytes:
    """A framed Record: features=[..] or dict(values=, keys=, shape=, kind=), label=[..]."""
    record = record_class()()
    for side in ("features", "label"):
        entries = fields.pop(side, {})
        for key, value in (entries if isinstance(entries, dict) else {"values": entries}).items():
            parts = value if isinstance(value, dict) else {"values": value}
            target = getattr(getattr(record, side)[key], parts.get("kind", "float32_tensor"))
            target.SetInParent()
            for part in ("values", "keys", "shape"):
                getattr(target, part).extend(parts.get(part, []))
    for name, text in fields.items():
        setattr(record, name, text)
    return frame(record.SerializeToString())


@needs_shared("golden/recordio")
@pytest.mark.parametrize("block_bytes", [10, 500, 1 << 20])
@pytest.mark.parametrize(
    ("name", "features", "labels"),
    [
        ("dense_f32", "X32", None),
        ("dense_f32_label_f32", "X32", "yf"),
        ("dense_f32_label_i32", "X32", "yi"),
        ("dense_f64", "X64", None),
        ("dense_f64_label_f64", "X64", "yd"),
        ("dense_i32", "Xi", None),
        ("dense_i32_label_i32", "Xi", "yi"),
        ("magic_in_payload_dense_f32", "M", None),
        ("dense_f32_1500x16_label", "L", "yl"),
    ],
)
def test_dense_files_of_aws_decode_exactly_and_encode_byte_for_byte(
    name: str, features: str, labels: str | None, block_bytes: int
) -> None:
    arrays = np.load(GOLDEN / "arrays.npz")
    data = (GOLDEN / f"{name}.pbr").read_bytes()
    found = read(data, block_bytes=block_bytes)
    exact = arrays[features].astype(np.float32)
    assert found.features.tobytes() == exact.tobytes()
    if labels is None:
        assert found.labels is None
    else:
        assert found.labels is not None
        np.testing.assert_array_equal(found.labels[:, 0], arrays[labels])
    kinds: dict[str, Any] = {"features_type": TYPES.get(name.split("_")[1], "float32")}
    kinds["labels_type"] = TYPES.get(name.split("_")[-1], "float32")
    assert protobuf.encode(replace(found, features=arrays[features]), **kinds) == data


@needs_shared("golden/recordio")
@pytest.mark.parametrize("repeat", [1, 20])  # few: by the library; many: by the compiled parser
@pytest.mark.parametrize("name", ["sparse_f32", "sparse_f32_label_f32", "sparse_f64_label_f64", "sparse_i32"])
def test_sparse_files_of_aws_decode_exactly_and_encode_byte_for_byte(name: str, repeat: int) -> None:
    arrays = np.load(GOLDEN / "arrays.npz")
    values = arrays["Si_data" if name == "sparse_i32" else "S_data"]
    expected = csr_array((values, arrays["S_indices"], arrays["S_indptr"]), shape=arrays["S_shape"])
    data = (GOLDEN / f"{name}.pbr").read_bytes()
    found = read(data * repeat)
    np.testing.assert_array_equal(found.dense(), np.tile(expected.toarray().astype(np.float32), (repeat, 1)))
    assert found.features[4].nnz == 0
    assert (found.labels is not None) == ("label" in name)
    labels = None if found.labels is None else found.labels[:9]
    kinds: dict[str, Any] = {"features_type": TYPES[name.split("_")[1]]}
    kinds["labels_type"] = TYPES[name.split("_")[-1]] if "label" in name else "float32"
    assert protobuf.encode(Records(expected, labels), **kinds) == data


@needs_shared("golden/recordio")
def test_request_with_all_fields_keeps_uid_and_metadata() -> None:
    found = protobuf.decode((GOLDEN / "record_all_fields.pbr").read_bytes(), Layout(4))
    assert found.features.tolist() == [[1.5, 16.0, 14.0, 23.0]]
    assert found.uids == ("abc123",)
    assert found.metadata == ('{"created_at":"2017-06-03"}',)


@needs_shared("golden/recordio")
def test_answers_of_aws_are_encoded_byte_for_byte() -> None:
    for name in ("response_kmeans", "response_pca"):
        data = (GOLDEN / f"{name}.pbr").read_bytes()
        found = list(messages(io.BytesIO(data), source=name))
        columns = {}
        for key in sorted(found[0].label):
            rows = [tensor(record.label[key], key)[0] for record in found]
            columns[key] = np.array(rows) if len(rows[0]) > 1 else np.array(rows)[:, 0]
        assert protobuf.encode_columns(columns) == data


@needs_shared("golden/recordio")
def test_answer_of_pca_is_a_request_but_no_training_data() -> None:
    data = (GOLDEN / "response_pca.pbr").read_bytes()
    assert protobuf.decode(data, Layout(3)).features.tolist() == [[1, 2, 3], [6, 7, 8]]
    with pytest.raises(UserError, match=r"record 1 of a.pbr has no features map entry 'values'"):
        read(data)


def test_single_record_without_framing_is_a_request_but_no_training_data() -> None:
    bare = message(features=[1, 2, 3])[8:36]
    assert protobuf.decode(bare, Layout(3)).features.tolist() == [[1, 2, 3]]
    with pytest.raises(UserError, match="magic number"):
        read(bare)
    with pytest.raises(UserError, match=r"the request is no RecordIO-protobuf"):
        protobuf.decode(b"hello, world", Layout(3))


def test_answers_carry_uids_and_metadata_of_their_records() -> None:
    columns = {"score": np.array([0.5, 2]), "vector": np.ones((2, 3))}
    found = list(messages(io.BytesIO(protobuf.encode_columns(columns, ["a", ""], ["", "m"])), source="a"))
    assert [(record.uid, record.metadata) for record in found] == [("a", ""), ("", "m")]
    assert found[1].label["score"].float32_tensor.values == [2]
    assert found[1].label["vector"].float32_tensor.values == [1, 1, 1]
    assert not found[0].features
    assert protobuf.encode_columns({"score": np.empty(0)}) == b""


@pytest.mark.parametrize("count", [1, 100])
def test_duplicate_keys_are_summed_and_unsorted_ones_sorted(count: int) -> None:
    data = message(features={"values": {"values": [1, 2, 4], "keys": [5, 0, 5], "shape": [2, 3]}}) * count
    found = read(data)
    assert found.features.has_sorted_indices
    assert found.dense()[-1].tolist() == [2, 0, 0, 0, 0, 5]


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (message(features=[1, 2]), "feature_dim is 3 but record 1 of a.pbr has 2 values"),
        (message(features={"values": {"values": [1], "keys": [3], "shape": [3]}}), "record 1 .* key 3"),
        (
            message(features={"values": {"values": [1], "keys": [0], "shape": [9]}}),
            "3 but record 1 .* 9 values",
        ),
        (message(features={"values": {"values": [1], "keys": [0, 1], "shape": [3]}}), "2 keys but 1 values"),
        (message(features={"values": {"values": [1], "shape": [3]}}), r"shape \[3\] but 1 values"),
        (message(features={"other": [1, 2, 3]}), r"record 1 of a.pbr .* \(it has 'other'\)"),
        (message(features=[]), "3 but record 1 of a.pbr has 0 values"),
        (frame(b""), "no features at all"),
        (frame(b"\x0a\xff"), "record 1 of a.pbr is not a Record message"),
        (message(features=[1, 2, 3], label={"weights": [1, 2]}), "a record has one weight"),
    ],
)
def test_wrong_record_is_named(record: bytes, problem: str, count: int) -> None:
    with pytest.raises(UserError, match=problem):
        read(record * count, Layout(3))


@pytest.mark.parametrize("shape", [{}, {"shape": [2]}])  # equal-sized ones as one view; by the library
@pytest.mark.parametrize("count", [1, 100])  # ..., or by the compiled parser
def test_conversion_to_float32_is_said_once_and_of_training_data_alone(
    count: int, shape: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    protobuf._say_converted.cache_clear()
    read(message(features={"values": {"values": [1, 2], **shape}}) * count)
    double = message(features={"values": {"values": [1, 2], "kind": "float64_tensor", **shape}}) * count
    protobuf.decode(double, Layout())
    assert not caplog.text
    for _ in range(2):
        read(double)
    assert caplog.text.count("they are converted to float32") == 1


@pytest.mark.parametrize("count", [1, 100])
def test_of_a_uid_that_is_no_utf_8_what_can_be_read_stays(count: int) -> None:
    good = message(features=[1, 2], uid="ab")
    found = protobuf.decode(good + good.replace(b"ab", b"\xffb") * count, Layout())
    assert found.uids == ("ab", *["\ufffdb"] * count)


@pytest.mark.parametrize("count", [2, 200])
def test_uids_and_metadata_stay_with_their_records(count: int) -> None:
    """Of records that begin to have some, one after the other, framed whole and split."""
    note = MAGIC_BYTES[:3].decode("latin-1")
    payload = next(payloads(io.BytesIO(message(features=[3, 4], uid="two", metadata=note * 9)), source="a"))
    whole, bare = message(features=[1, 2], uid="one"), message(features=[5, 6])
    found = protobuf.decode(bare * count + (whole + cut_frames(payload) + bare) * count, Layout())
    assert found.uids == ("",) * count + ("one", "two", "") * count
    assert found.metadata == ("",) * count + ("", note * 9, "") * count
    assert found.features[:, 0].tolist() == [5] * count + [1, 3, 5] * count


def test_bytes_are_no_tensor() -> None:
    record = record_class()()
    record.features["values"].bytes.value.append(b"png")
    with pytest.raises(UserError, match="record 1 of the request, features entry 'values', holds bytes"):
        protobuf.decode(frame(record.SerializeToString()), Layout())


@pytest.mark.parametrize("count", [1, 100])
def test_weights_are_read_from_either_map(count: int) -> None:
    data = message(features=[1, 2], label={"values": [1], "weights": [0.5]})
    data += message(features={"values": [1, 2], "weights": [4]}, label=[7]) + message(
        features=[1, 2], label=[1]
    )
    found = read(data * count)
    assert found.weights is not None
    assert found.weights[-3:].tolist() == [0.5, 4, 1]


@pytest.mark.parametrize("count", [1, 100])
def test_missing_label_is_nan_and_uneven_labels_are_refused(count: int) -> None:
    found = read((message(features=[1], label=[3]) + message(features=[1])) * count)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels[-2:, 0], [3, np.nan])
    assert read(message(features=[1], label=[3]) * count, Layout(1, 0)).labels is None
    uneven = message(features=[1], label=[3]) * count + message(features=[1], label=[3, 4])
    with pytest.raises(UserError, match="must be equally long"):
        read(uneven)


def test_dense_and_sparse_records_mix_in_one_file() -> None:
    sparse = message(features={"values": {"values": [5], "keys": [1], "shape": [3]}})
    data = (message(features=[1, 2, 3]) + sparse) * 100
    blocks = list(protobuf.read(io.BytesIO(data), Layout(), source="a"))
    found = concatenate(blocks)
    assert len(found) == 200
    np.testing.assert_array_equal(found.dense()[-2:], [[1, 2, 3], [0, 5, 0]])
    assert isinstance(protobuf.decode(data, Layout()).features, csr_array)


def test_error_far_into_a_file_names_the_right_record() -> None:
    good = message(features=[1, 2, 3], label=[1])
    for bad, odd in (
        (message(features=[1, 2], label=[1]), b""),
        (message(features=[1, 2]), message(features=[1, 2, 3])),
    ):
        for block_bytes in (100, 1 << 20):
            with pytest.raises(UserError, match=f"record {301 if not odd else 302} of a.pbr has 2 values"):
                read(good * 300 + odd + bad + good * 100, block_bytes=block_bytes)


def test_equal_sized_records_stop_where_any_other_byte_differs() -> None:
    record = message(features=[1, 2, 3], label={"values": {"kind": "int32_tensor", "values": [5]}})
    layout = RecordLayout.of(record, 0)
    assert layout is not None
    assert len(layout.frames(record * 9, 0)) == 9
    values = set(range(layout.features.start, layout.features.stop))
    assert layout.label is not None
    for at in range(layout.stride):
        changed = bytearray(record)
        changed[at] ^= 0x80
        padding = at >= len(layout.frame)
        expected = 9 if at in values or padding else 4
        assert len(layout.frames(record * 4 + bytes(changed) + record * 4, 0)) == expected, at


def test_records_split_by_mxnet_are_decoded() -> None:
    values = np.frombuffer(MAGIC_BYTES * 6, np.float32)
    payload = next(payloads(io.BytesIO(message(features=values.tolist())), source="a"))
    assert cut_frames(payload) != frame(payload)
    found = read((cut_frames(payload) + message(features=[1] * 6)) * 70)
    assert found.features[0].tobytes() == values.tobytes()
    assert len(found) == 140


def test_int32_features_must_be_whole() -> None:
    with pytest.raises(UserError, match="cannot be written as int32"):
        protobuf.encode(Records(np.array([[0.5]], np.float32)), features_type="int32")


# --- the compiled parser against the protobuf library -------------------------------------------------------

NUMBERS = st.floats(width=32, allow_nan=False)
TENSORS = st.one_of(
    st.builds(lambda v: {"values": v}, st.lists(NUMBERS, min_size=4, max_size=4)),
    st.builds(lambda v: {"values": v, "kind": "float64_tensor"}, st.lists(NUMBERS, min_size=4, max_size=4)),
    st.builds(
        lambda v: {"values": v, "kind": "int32_tensor"},
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=4, max_size=4),
    ),
    st.builds(
        lambda pairs, kind: {
            "values": [value for _, value in pairs],
            "keys": [key for key, _ in pairs],
            "shape": [2, 2],
            "kind": kind,
        },
        st.lists(st.tuples(st.integers(0, 3), st.integers(-99, 99)), max_size=6),
        st.sampled_from(["float32_tensor", "float64_tensor", "int32_tensor"]),
    ),
)
RECORDS = st.builds(
    lambda features, label, uid: message(features={"values": features}, **label, **uid),
    TENSORS,
    st.sampled_from([{}, {"label": [1.5]}, {"label": {"values": {"values": [-3], "kind": "int32_tensor"}}}]),
    st.sampled_from([{}, {}, {}, {"uid": "a"}, {"uid": ""}, {"metadata": "\u00e4"}, {"configuration": "c"}]),
)


def by_library(data: bytes) -> Records:
    return concatenate(
        [protobuf.decode(frame(payload), Layout(4)) for payload in payloads(io.BytesIO(data), source="a")]
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_all_readers_agree(records: list[bytes]) -> None:
    data = b"".join(records)
    many = read(data * 64, Layout(4))
    few = read(data, Layout(4), block_bytes=50)
    np.testing.assert_array_equal(many.dense()[: len(records)], few.dense())
    single = [protobuf.decode(record, Layout(4)) for record in records]
    np.testing.assert_array_equal(few.dense(), np.concatenate([one.dense() for one in single]))
    uids = [one.uids[0] if one.uids else "" for one in single]
    notes = [one.metadata[0] if one.metadata else "" for one in single]
    request = protobuf.decode(data * 64, Layout(4))
    assert list(request.uids or [""] * len(request)) == uids * 64
    assert list(request.metadata or [""] * len(request)) == notes * 64


def unpacked(number: int, wire: int, elements: list[bytes]) -> bytes:
    return b"".join(bytes([number << 3 | wire]) + element for element in elements)


def nested(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("count", [1, 100])
def test_every_legal_encoding_of_a_record_is_read(count: int) -> None:
    floats = [np.float32(value).tobytes() for value in (1.5, -2, 4)]
    keys = [b"\x00", b"\x81\x01", b"\x02"]  # 0, 129, 2
    shape = b"\xac\x02"  # 300
    tensors = [
        unpacked(1, 5, floats) + unpacked(2, 0, keys) + unpacked(3, 0, [shape]),
        nested(3, shape) + nested(2, keys[0] + keys[1]) + nested(1, floats[0])
        + nested(1, floats[1] + floats[2]) + unpacked(2, 0, keys[2:]),
        nested(1, b"".join(floats)) + nested(9, b"unknown") + nested(2, b"".join(keys)) + nested(3, shape),
    ]  # fmt: skip
    for tensor_bytes in tensors:
        value, key = nested(2, nested(2, tensor_bytes)), nested(1, b"values")
        label = nested(2, nested(2, nested(2, nested(1, floats[0]))) + key)  # the value before the key
        for entry in (key + value, value + key):
            for before, behind in ((b"", label), (label, b""), (b"\x50\x01" + label, b"\x5d\0\0\0\0")):
                found = read(frame(before + nested(1, entry) + behind) * count)
                assert found.width == 300
                row = found.dense()[-1]
                assert (row[[0, 129, 2]] == [1.5, -2, 4]).all()
                assert found.labels is not None
                assert found.labels[-1, 0] == 1.5
    # of two entries with the same key the last one wins
    first, last = (nested(1, nested(1, b"values") + nested(2, nested(2, nested(1, f)))) for f in floats[:2])
    assert read(frame(first + last) * count).features[-1].tolist() == [-2]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_message_gives_records_or_a_user_error(payload: bytes) -> None:
    outcomes = []
    for repeat in (1, 64):
        try:
            outcomes.append(read(frame(payload) * repeat, Layout(4)).dense()[0].tolist())
        except UserError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_general_decoding_gives_other_keys_and_bytes() -> None:
    data = message(features={"source": {"values": [1, 2], "kind": "int32_tensor"}, "target": [3]})
    (record,) = messages(io.BytesIO(data), source="a")
    values, keys, shape = tensor(record.features["source"], "record 1")
    assert (values.dtype, values.tolist(), keys, shape) == (np.int32, [1, 2], None, [])
    with pytest.raises(UserError, match="record 7 is not a Record"):
        parse(b"\x0a\xff", "record 7")

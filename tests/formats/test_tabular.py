import gzip
import io
import json
import os
import threading
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import tabular
from optml.formats.checks import check_finite
from optml.formats.compression import TooLarge, decompress, decompressed
from optml.formats.content_type import ContentType, sniff
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records, concatenate
from tests.fuzz import formats as fuzz
from tests.shared import SHARED, needs_shared

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(200, 3)).astype(np.float32)
LABELS = np.arange(200.0)[:, None]
FORMS = ("csv;label_size=1", "libsvm", "recordio-protobuf", "json", "jsonlines", "parquet;label_size=1")


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read_and_decoded(form: str) -> None:
    content_type = ContentType.parse(form)
    body = tabular.write(Records(FEATURES, LABELS), content_type)
    blocks = list(tabular.read(io.BytesIO(body), content_type, Layout(3), source="a", block_bytes=999))
    for found in (concatenate(blocks), tabular.decode(body, content_type, Layout(3))):
        np.testing.assert_array_equal(found.dense(), FEATURES)
        if not form.startswith("json"):
            np.testing.assert_array_equal(found.labels, LABELS)
    narrow = "line 1 of the request has key 2" if form == "libsvm" else "feature_dim is 2 but"
    with pytest.raises(UserError, match=narrow):
        tabular.decode(body, content_type, Layout(2))


@pytest.mark.parametrize("form", FORMS)
def test_fifo_is_read_to_its_end(form: str, tmp_path: Path) -> None:
    content_type = ContentType.parse(form)
    body = tabular.write(Records(FEATURES, LABELS), content_type)
    fifo = tmp_path / "train_0"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(body))
    writer.start()
    with fifo.open("rb", buffering=0) as raw:
        stream = decompressed(raw, source="train_0")  # type: ignore[arg-type]
        found = concatenate(tabular.read(stream, content_type, Layout(3), source="train_0"))
    writer.join()
    np.testing.assert_array_equal(found.dense(), FEATURES)


def test_parquet_of_lists_strings_and_gaps() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def body(**columns: object) -> bytes:
        out = pa.BufferOutputStream()
        parquet.write_table(pa.table(columns), out)
        return bytes(out.getvalue())

    form = ContentType.parse("parquet")
    found = tabular.decode(body(features=[[1.0, 2.0], [3.0, 4.0]]), form, Layout(2))
    assert found.features.tolist() == [[1, 2], [3, 4]]
    found = tabular.decode(body(a=[1, None], b=[True, False]), form, Layout(2))
    np.testing.assert_array_equal(found.features, [[1, 1], [np.nan, 0]])
    with pytest.raises(UserError, match="record 2 of the request holds the text 'x' in column 'b'"):
        tabular.decode(body(a=[1, 2], b=["3", "x"]), form, Layout(2))
    with pytest.raises(UserError, match="column 'b' is of type timestamp"):
        tabular.decode(body(a=[1], b=[datetime(2020, 1, 1)]), form, Layout(2))
    with pytest.raises(UserError, match="record 2 of the request: the list in column 'f'"):
        tabular.decode(body(f=[[1.0], [1.0, 2.0]]), form, Layout())
    with pytest.raises(UserError, match="the request cannot be read as Parquet"):
        tabular.decode(b"PAR1 and so on", form, Layout())


def test_parquet_holds_numbers_in_many_types() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "decimal": pa.array([Decimal("1.5"), None], pa.decimal128(10, 3)),
        "wide": pa.array([Decimal("-2.25"), Decimal(3)], pa.decimal256(50, 2)),
        "text": [" 1e3", "N/A"],
        "plus": ["+1", None],
        "category": pa.array(["7", "8"]).dictionary_encode(),
        "codes": pa.array([None, 5], pa.int8()).dictionary_encode(),
        "nothing": pa.nulls(2),
        "half": pa.array(np.array([0.5, 2], np.float16)),
        "unsigned": pa.array([2**63, 1], pa.uint64()),
        "list": pa.array([[Decimal(1), None], [Decimal(2), Decimal(3)]], pa.list_(pa.decimal128(5, 1))),
    }
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    found = tabular.decode(out.getvalue(), ContentType.parse("parquet"), Layout())
    nan = np.nan
    expected = [
        [1.5, -2.25, 1000, 1, 7, nan, nan, 0.5, 2.0**63, 1, nan],
        [nan, 3, nan, nan, 8, 5, nan, 2, 1, 2, 3],
    ]
    np.testing.assert_array_equal(found.features, np.array(expected, np.float32))


@needs_shared("cases/decimal.parquet")
def test_the_case_with_decimals() -> None:
    with (SHARED / "cases/decimal.parquet").open("rb") as file:
        (records,) = tabular.read(file, ContentType("application/x-parquet"), Layout(None, 1), source="a")
    assert records.labels is not None
    assert records.features.shape == (60, 4)
    assert records.features[0, 1] == np.float32(1.204)


def test_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="'image/png' is no table; supported are text/csv"):
        tabular.decode(b"1", ContentType.parse("image/png"), Layout())
    with pytest.raises(UserError, match="the request is empty"):
        tabular.decode(b"", ContentType.parse("csv"), Layout())


def test_content_type_has_aliases_and_parameters() -> None:
    found = ContentType.parse('Text/CSV; Label_Size=1 ;charset="utf-8"')
    assert (found.media, found.parameters) == ("text/csv", {"label_size": "1", "charset": "utf-8"})
    assert str(found) == "text/csv;label_size=1;charset=utf-8"
    for short, long in (
        ("CSV", "text/csv"),
        ("protobuf", "application/x-recordio-protobuf"),
        ("application/x-labeled-vector-protobuf", "application/x-recordio-protobuf"),
        ("text/x-libsvm", "text/libsvm"),
        ("parquet", "application/x-parquet"),
        ("jsonlines", "application/jsonlines"),
    ):
        assert ContentType.parse(short).media == long


@pytest.mark.parametrize(
    ("head", "media"),
    [
        (b"\x0a\x23\xd7\xce\0\0\0\0", "application/x-recordio-protobuf"),
        (b"PAR1", "application/x-parquet"),
        (b' {"features": [1]}\n', "application/jsonlines"),
        (b'{"instances": []}', "application/json"),
        (b"[[1, 2]]", "application/json"),
        (b"1 0:2.5 7:1\n", "text/libsvm"),
        (b"1,2,3\n", "text/csv"),
        (b"1 2 3\n", "text/csv"),
        (b"", "text/csv"),
        (gzip.compress(b'{"features": [1]}'), "application/jsonlines"),
        (b"\x1f\x8b rubbish", "text/csv"),
    ],
)
def test_format_is_told_from_the_first_bytes(head: bytes, media: str) -> None:
    assert sniff(head).media == media


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_gzip_is_removed_on_the_way(size: int) -> None:
    plain = RNG.bytes(5000) + bytes(100_000)
    packed = gzip.compress(plain[:3000]) + gzip.compress(plain[3000:]) + bytes(16)  # members, then padding
    for body in (plain, packed):
        stream = decompressed(io.BytesIO(body), source="a.gz")
        assert b"".join(iter(lambda: stream.read(size), b"")) == plain  # noqa: B023
        assert decompressed(io.BytesIO(body), source="a.gz").read() == plain
        assert decompress(body, max_bytes=len(plain)) == plain
        with pytest.raises(TooLarge, match=f"larger than {len(plain) - 1} bytes"):
            decompress(body, max_bytes=len(plain) - 1)
    for short in (b"", b"\x1f"):
        assert decompressed(io.BytesIO(short), source="a").read() == short


def test_small_body_that_unpacks_to_a_huge_one_is_refused_early() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    with pytest.raises(TooLarge):
        decompress(bomb, max_bytes=1 << 20)


def test_damaged_gzip_names_the_file() -> None:
    packed = gzip.compress(RNG.bytes(5000))
    with pytest.raises(UserError, match=r"a\.gz is cut off in the middle"):
        decompressed(io.BytesIO(packed[:-20]), source="a.gz").read()
    with pytest.raises(UserError, match=r"a\.gz is damaged gzip data"):
        decompressed(io.BytesIO(packed[:2000] + bytes(20) + packed[2020:]), source="a.gz").read()


def test_values_that_are_not_finite_are_named() -> None:
    features = FEATURES.copy()
    check_finite(Records(features))
    check_finite(Records(np.full((2, 2), 3e38, np.float32)))  # whose sum is not finite
    features[7, 1] = np.nan
    features[8, 0] = np.inf
    records = Records(features, origins=((0, Origin("a.csv", 1, "row")), (8, Origin("b.csv", 1, "row"))))
    with pytest.raises(
        UserError,
        match=r"row 8 of a\.csv holds NaN, a missing value .* feature 2\n"
        r"row 1 of b\.csv holds infinity .*this algorithm takes none: remove",
    ):
        check_finite(records)
    sparse = Records(csr_array(features), origins=records.origins)
    with pytest.raises(UserError, match=r"row 8 of a\.csv holds NaN.* feature 2\n"):
        check_finite(sparse)
    features[:] = -np.inf
    with pytest.raises(UserError, match="and 597 more values"):
        check_finite(Records(features))


def test_mutated_bodies_give_records_or_user_errors() -> None:
    assert fuzz.fuzz(seconds=2, seed=int.from_bytes(os.urandom(4))) > 50


def test_the_index_of_a_frame_is_no_column() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    pandas = json.dumps({"index_columns": ["__index__"], "columns": []}).encode()
    table = pa.table({"y": [1.0], "x": [2.0], "__index__": [3]}).replace_schema_metadata({b"pandas": pandas})
    file = io.BytesIO()
    parquet.write_table(table, file)
    (block,) = tabular.read(
        io.BytesIO(file.getvalue()), ContentType("application/x-parquet"), tabular.Layout(None, 1), source="a"
    )
    assert (block.labels.tolist(), block.features.tolist()) == ([[1.0]], [[2.0]])


@pytest.mark.parametrize("text", ["text/csv;label_size=1;label_size=1", "text/csv;label_size=1=1"])
def test_an_odd_label_size_is_refused_as_it_was_given(text: str) -> None:
    with pytest.raises(UserError, match="expected a whole number") as error:
        ContentType.parse(text).number("label_size", None)
    assert f"'{text}'" in str(error.value)


def test_a_content_type_is_shown_as_it_was_given() -> None:
    assert str(ContentType.parse("label_size=1;text/csv")) == "label_size=1;text/csv"

"""What is no text is told by its first bytes, whatever text it was said to be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from optml.errors import UserError
from optml.formats import signatures, tabular
from optml.formats.compression import decompressed
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.records import Records
from tests.shared import SHARED, needs_shared

TEXT = b"1,2,3\n4,5,6\n"
ROWS = Records(np.arange(600, dtype=np.float32).reshape(200, 3))
TEXTS = ("text/csv", "text/libsvm", "application/json", "application/jsonlines")


def parquet() -> bytes:
    return tabular.write(ROWS, ContentType("application/x-parquet"))


def recordio() -> bytes:
    return tabular.write(ROWS, ContentType("application/x-recordio-protobuf"))


def numpy() -> bytes:
    out = io.BytesIO()
    np.save(out, ROWS.features)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, rows=ROWS.features)
    return out.getvalue()


def archive(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, TEXT)
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        member = tarfile.TarInfo("a.csv")
        member.size = len(TEXT)
        file.addfile(member, io.BytesIO(TEXT))
    return out.getvalue()


BINARIES = {
    "Parquet; set the content type to application/x-parquet": parquet(),
    "RecordIO; set the content type to application/x-recordio-protobuf": recordio(),
    "a NumPy array; write it by numpy.savetxt": numpy(),
    "NumPy arrays .npz.": npz(),
    "a ZIP archive; unpack it": archive("a.csv"),
    "an Excel workbook .*; save it as CSV": archive("[Content_Types].xml"),
    "packed by xz; unpack it": lzma.compress(TEXT * 50),
    "packed by bzip2; unpack it": bz2.compress(TEXT * 50),
    "packed by Zstandard; unpack it": b"\x28\xb5\x2f\xfd\x04\x00" + bytes(20),
    "a tar archive; unpack it": tar(),
    "a Python pickle; none is ever opened": pickle.dumps(ROWS.features),
    "HDF5; write it as CSV": b"\x89HDF\r\n\x1a\n" + bytes(8),
    "a JPEG image": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "gzip within gzip; unpack it once": gzip.compress(TEXT),
}


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("said", BINARIES)
def test_a_binary_file_said_to_be_text_is_named_with_the_cure(said: str, form: str) -> None:
    content_type, body = ContentType(form), BINARIES[said]
    with pytest.raises(UserError, match=f"train/a is no text: it is {said}"):
        list(tabular.read(io.BytesIO(body), content_type, Layout(), source="train/a"))
    with pytest.raises(UserError, match=f"the request is no text: it is {said}"):
        tabular.decode(body, content_type, Layout())


def test_what_lies_within_gzip_is_looked_at_too() -> None:
    stream = decompressed(io.BytesIO(gzip.compress(tar())), source="a.tar.gz")
    with pytest.raises(UserError, match="it is a tar archive"):
        list(tabular.read(stream, ContentType("text/csv"), Layout(), source="a.tar.gz"))


@pytest.mark.parametrize(
    "text", [b"PAR1 is a word\n", b"ORC,PK,BZh\n", b"GIF89a\n", b"\x1b[0m1,2\n", b"", b"PK"]
)
def test_texts_that_begin_like_a_file_are_texts(text: bytes) -> None:
    signatures.refuse(text, "a")


def test_a_pointer_to_a_file_is_not_the_file() -> None:
    with pytest.raises(UserError, match=r"a is a pointer of Git LFS, .* 'git lfs pull'"):
        signatures.refuse(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a")


@needs_shared("cases/really_parquet.csv")
def test_the_case_that_is_really_parquet() -> None:
    body = (SHARED / "cases/really_parquet.csv").read_bytes()
    with pytest.raises(UserError, match="it is Parquet"):
        list(tabular.read(io.BytesIO(body), ContentType("text/csv"), Layout(None, 1), source="a"))

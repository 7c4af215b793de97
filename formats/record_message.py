"""The protobuf message `aialgs.data.Record`, decoded with the protobuf library.

The descriptor is built here, so no compiler and no generated file is needed. The library is exact and slow:
`records.py` uses it for what its fast readers leave over, other algorithms for records that are no vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from optml.errors import UserError
from optml.formats.recordio import payloads

Record: TypeAlias = Any  # the message class exists at run time only
Value: TypeAlias = Any

TENSOR_TYPES = {"float32_tensor": np.float32, "float64_tensor": np.float64, "int32_tensor": np.int32}


@lru_cache(maxsize=1)
def record_class() -> Any:
    """The message class of `aialgs.data.Record` (proto2), in its own pool: AWS's SDK may have another."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")

    def message(name: str) -> Any:
        return file.message_type.add(name=name)

    def add(parent: Any, name: str, number: int, type_: int, **options: Any) -> None:
        options.setdefault("label", kind.LABEL_OPTIONAL)
        parent.field.add(name=name, number=number, type=type_, **options)

    for name, values in (
        ("Float32", kind.TYPE_FLOAT),
        ("Float64", kind.TYPE_DOUBLE),
        ("Int32", kind.TYPE_INT32),
    ):
        tensor = message(f"{name}Tensor")
        for number, (part, type_) in enumerate(
            (("values", values), ("keys", kind.TYPE_UINT64), ("shape", kind.TYPE_UINT64)), start=1
        ):
            add(tensor, part, number, type_, label=kind.LABEL_REPEATED)
            tensor.field[-1].options.packed = True
    octets = message("Bytes")
    add(octets, "value", 1, kind.TYPE_BYTES, label=kind.LABEL_REPEATED)
    add(octets, "content_type", 2, kind.TYPE_STRING)
    value = message("Value")
    value.oneof_decl.add(name="value")
    for name, number, type_name in (
        ("float32_tensor", 2, "Float32Tensor"),
        ("float64_tensor", 3, "Float64Tensor"),
        ("int32_tensor", 7, "Int32Tensor"),
        ("bytes", 9, "Bytes"),
    ):
        add(value, name, number, kind.TYPE_MESSAGE, type_name=f".aialgs.data.{type_name}", oneof_index=0)
    record = message("Record")
    for number, name in enumerate(("features", "label"), start=1):
        entry = record.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        add(entry, "key", 1, kind.TYPE_STRING)
        add(entry, "value", 2, kind.TYPE_MESSAGE, type_name=".aialgs.data.Value")
        type_name = f".aialgs.data.Record.{entry.name}"
        add(record, name, number, kind.TYPE_MESSAGE, type_name=type_name, label=kind.LABEL_REPEATED)
    for number, name in enumerate(("uid", "metadata", "configuration"), start=3):
        add(record, name, number, kind.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def parse(payload: bytes, where: str) -> Record:
    """Decode one record. Raises UserError naming `where` ("record 17 of a.pbr (byte 1836)")."""
    make, failure = _library()
    record = make()
    try:
        record.ParseFromString(payload)
    except failure:
        raise UserError(
            f"{where} is not a Record message (protobuf aialgs.data.Record); the file is damaged"
        ) from None
    return record


@lru_cache(maxsize=1)
def _library() -> tuple[Any, type[Exception]]:
    """What makes a message, and the error of one that cannot be read."""
    from google.protobuf.message import DecodeError

    return record_class(), DecodeError


def damaged(where: str) -> UserError:
    return UserError(f"{where} is not a Record message (protobuf aialgs.data.Record); the file is damaged")


def messages(stream: BinaryIO, *, source: str) -> Iterator[Record]:
    """The Record messages of a RecordIO stream, in bounded memory, for algorithms that read other keys than
    `values` (Seq2Seq's `source` and `target`) or bytes. Raises UserError as `parse` and `Frames.take` do."""
    for number, payload in enumerate(payloads(stream, source=source), start=1):
        yield parse(payload, f"record {number} of {source}")


def tensor(value: Value, where: str) -> tuple[np.ndarray, np.ndarray | None, list[int]]:
    """The values (float32, float64 or int32), keys (int64; None: there are none) and shape of a Value.

    Raises UserError if it holds bytes or nothing; `where` names record and map key.
    """
    kind = value.WhichOneof("value")
    if kind not in TENSOR_TYPES:
        what = "bytes" if kind == "bytes" else "no tensor"
        raise UserError(f"{where} holds {what}; expected float32_tensor, float64_tensor or int32_tensor")
    fields = getattr(value, kind)
    values = np.array(fields.values[:], TENSOR_TYPES[kind])  # of a list: ten times as fast
    keys = fields.keys[:]
    return values, np.array(keys, np.uint64).astype(np.int64) if keys else None, fields.shape[:]

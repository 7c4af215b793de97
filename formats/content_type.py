"""Content types: what a channel's `ContentType` and a request's `Content-Type` say."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from optml.errors import UserError

CSV = "text/csv"
LIBSVM = "text/libsvm"
RECORDIO_PROTOBUF = "application/x-recordio-protobuf"
RECORDIO = "application/x-recordio"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
PARQUET = "application/x-parquet"
TEXT = "text/plain"
IMAGE = "application/x-image"  # of any format

HEAD = 8192  # bytes from which a format is told

# Short names and other spellings of the same format; SageMaker's built-ins and XGBoost's container know them.
ALIASES = {
    "csv": CSV,
    "application/csv": CSV,
    "libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
    "x-libsvm": LIBSVM,
    "protobuf": RECORDIO_PROTOBUF,
    "recordio-protobuf": RECORDIO_PROTOBUF,
    "x-recordio-protobuf": RECORDIO_PROTOBUF,
    "application/x-labeled-vector-protobuf": RECORDIO_PROTOBUF,
    "recordio": RECORDIO,
    "json": JSON,
    "jsonlines": JSON_LINES,
    "jsonl": JSON_LINES,
    "ndjson": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "parquet": PARQUET,
    "application/vnd.apache.parquet": PARQUET,
}

# First bytes of pictures; those that a text may begin with as well go on with binary fields.
IMAGES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/bmp": re.compile(rb"BM.{4}\0{4}", re.S),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.S),
}

_LIBSVM_LINE = re.compile(rb"\s*[-+.\deE:]+(\s+qid:\d+)?(\s+\d+:[-+.\deE]+)+\s*(#.*)?$")


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in its canonical, lower-case spelling, and its parameters (names in lower case)."""

    media: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ContentType:
        """Read `text/csv; label_size=1`; aliases such as `csv` become the full name. Unknown types pass."""
        media, *rest = text.split(";")
        media = media.strip().lower()
        parameters: dict[str, str] = {}
        for item in rest:
            name, _, value = item.partition("=")
            name, value = name.strip().lower(), value.strip().strip('"')
            if name in parameters:  # twice: shown as it is by whoever cannot read the value
                value = f"{parameters[name]};{name}={value}"
            if name:
                parameters[name] = value
        return cls(ALIASES.get(media, media), parameters)

    def __str__(self) -> str:
        parameters = (f"{name}={value}" if value else name for name, value in self.parameters.items())
        return ";".join([self.media, *parameters])

    def without(self, name: str) -> ContentType:
        """The same without a parameter."""
        if name not in self.parameters:
            return self
        return ContentType(self.media, {key: text for key, text in self.parameters.items() if key != name})

    def number(self, name: str, default: int | None) -> int | None:
        """A parameter that is a whole number from 0 on. Raises UserError for any other value."""
        text = self.parameters.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise UserError(
                f"content type '{self}': {name} is '{text}'; expected a whole number, "
                f"as in {self.media};{name}=1"
            )
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A parameter that is one of a few words, the first by default. Raises UserError for any other."""
        text = self.parameters.get(name, choices[0]).lower()
        if text not in choices:
            raise UserError(f"content type '{self}': {name} is '{text}'; expected {' or '.join(choices)}")
        return text


def sniff(head: bytes) -> ContentType:
    """Tell the format from the first bytes of a file or request, of which no more than `HEAD` are looked at;
    that of gzip data from what is within."""
    head = head[:HEAD]
    if head[:2] == b"\x1f\x8b":
        try:
            return sniff(zlib.decompressobj(wbits=31).decompress(head, 1 << 16))
        except zlib.error:
            return ContentType(CSV)
    if head[:4] == b"\x0a\x23\xd7\xce":
        return ContentType(RECORDIO_PROTOBUF)
    if head[:4] == b"PAR1":
        return ContentType(PARQUET)
    for media, magic in IMAGES.items():
        if magic.match(head):
            return ContentType(media)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"[" or (text[:1] == b"{" and re.match(rb'\{\s*"(instances|configuration)"', text)):
        return ContentType(JSON)
    if text[:1] == b"{":
        return ContentType(JSON_LINES)
    if _LIBSVM_LINE.match(text.split(b"\n", 1)[0][:4096]):
        return ContentType(LIBSVM)
    return ContentType(CSV)


def sniff_file(path: Path) -> ContentType:
    """Tell the format of a file by its first bytes."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD))

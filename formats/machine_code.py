"""Compiled functions as machine code in files, which run without numba.

XGBoost alone needs nothing else of numba, whose import with a cached function costs a process 0.4 s of a core
and 86 MB: `train` on 2 MB of CSV took 1.04 s of a core instead of 0.68, and a server has many processes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

SYMBOL = "optml_entry"
DIGEST = hashlib.sha256().digest_size  # bytes at the beginning of a file, of what follows

_addresses: dict[Path, int] = {}  # of the functions in use, by source
_owners: list[Any] = []  # of the code behind the addresses


def store(function: Any, source: Path) -> None:
    """Keep a function of `numba.cfunc`, the only one of the module `source`, for this process and others.

    A folder that cannot be written costs other processes the import. The code must call nothing: a symbol of
    numba's would not be there.
    """
    module = llvm.parse_assembly(function.inspect_llvm())
    wanting = [item.name for item in module.functions if item.is_declaration]
    wanting = [name for name in wanting if not name.startswith("llvm.")]
    if wanting:
        raise ValueError(f"{source.name}: the compiled code calls {', '.join(wanting)}")
    _owners.append(function)
    _addresses[source] = function.address
    module.get_function(function.native_name).name = SYMBOL
    code = _machine().emit_object(module)
    path = _path(source)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(_digest(code) + code)
        made = Path(file.name)
        made.chmod(0o644)  # an image's jobs may run as another user
        made.replace(path)  # readers see all of it or nothing


def load(source: Path) -> int | None:
    """The address of the function stored for `source` as it is now, and for this CPU; None if none was, or
    if the file is damaged: LLVM would end the process over it without a word."""
    if source not in _addresses:
        try:
            stored = _path(source).read_bytes()
        except OSError:
            return None
        code = stored[DIGEST:]
        if stored[:DIGEST] != _digest(code):
            return None
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _owners.append(engine)
        _addresses[source] = engine.get_function_address(SYMBOL)
    return _addresses[source]


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = _cpu()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, codemodel="jitdefault")


def _cpu() -> tuple[str, str]:
    """The CPU to compile for and its features, by numba's own variables where they are set."""
    cpu = os.environ.get("NUMBA_CPU_NAME")
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if cpu else llvm.get_host_cpu_features().flatten()
    return cpu or llvm.get_host_cpu_name(), features


def _path(source: Path) -> Path:
    """Where numba keeps what it compiled; another name for another source, LLVM or CPU."""
    facts = (source.read_bytes().hex(), str(llvm.llvm_version_info), llvm.get_process_triple(), *_cpu())
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return (Path(folder) if folder else source.with_name("__pycache__")) / f"{source.stem}-{digest}.o"

"""`optml weights`: the only part that has a network, and the only one that opens a .pth."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms.vision.architecture import Architecture
from optml.algorithms.vision.weights import files, published

torch = pytest.importorskip("torch")

from optml.algorithms.vision.resnet import ResNet  # noqa: E402

NETWORK = Architecture(20, "post", "7x7")


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return ResNet(NETWORK, 3).state_dict()


def test_the_list_names_licences(optml: Any) -> None:
    code, out, _ = optml("weights", "list")
    assert code == 0
    assert "resnet18" in out
    assert "BSD" in out


def test_a_pth_becomes_safetensors_with_a_warning(optml: Any, state: dict[str, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.pth")
    code, out, _ = optml("weights", "convert", tmp_path / "x.pth", tmp_path / "x.safetensors")
    assert code == 0
    assert "open none that you do not trust" in out
    assert f"({NETWORK})" in out
    written = load_file(tmp_path / "x.safetensors")
    assert all(np.array_equal(written[name], value.numpy()) for name, value in state.items())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_a_pth_that_runs_code_is_refused(optml: Any, tmp_path: Path) -> None:
    torch.save({"x": Evil()}, tmp_path / "x.pth")
    code, out, err = optml("weights", "convert", tmp_path / "x.pth", tmp_path / "x.safetensors")
    assert code == 2
    assert "x.pth is no file of tensors alone" in err
    assert "run" not in out.split()
    torch.save([torch.ones(2)], tmp_path / "x.pth")
    code, _, err = optml("weights", "convert", tmp_path / "x.pth", tmp_path / "x.safetensors")
    assert (code, "holds no tensors by name" in err) == (2, True)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server of the files in `tmp_path`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = tmp_path / self.path[1:]
            self.send_response(200 if path.is_file() else 404)
            self.end_headers()
            if path.is_file():
                self.wfile.write(path.read_bytes())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_fetched_is_checked_converted_and_documented(
    optml: Any, state: dict[str, Any], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, tmp_path / "resnet.pth")
    digest = hashlib.sha256((tmp_path / "resnet.pth").read_bytes()).hexdigest()

    def table(name: str, sha256: str) -> published.Published:
        url = f"{address}/{name}.pth"
        return published.Published(name, url, sha256, "a licence", "imagenet", "a test", NETWORK)

    rows = (table("resnet", digest[:8]), table("bad", "0" * 8), table("gone", ""))
    (tmp_path / "bad.pth").write_bytes(b"bad")
    monkeypatch.setattr(published, "table", lambda: rows)
    code, out, _ = optml("weights", "fetch", "resnet", "--to", tmp_path / "out")
    assert code == 0
    assert "a licence" in out
    provenance = json.loads((tmp_path / "out/resnet.json").read_text())
    assert (provenance["sha256"], provenance["checked"]) == (digest, 32)
    assert files.read(tmp_path / "out/resnet.safetensors").architecture == NETWORK
    code, _, err = optml("weights", "fetch", "bad", "--to", tmp_path / "out")
    assert (code, "it was damaged on the way or replaced, and is not kept" in err) == (2, True)
    code, _, err = optml("weights", "fetch", "gone", "--to", tmp_path / "out")
    assert (code, "cannot be downloaded" in err) == (3, True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["resnet.json", "resnet.safetensors"]
    code, _, err = optml("weights", "fetch", "resnett", "--to", tmp_path / "out")
    assert (code, "did you mean 'resnet'" in err) == (2, True)

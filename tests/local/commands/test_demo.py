import pytest

from optml.local.commands import demo


def test_demo_trains_serves_asks_and_draws(tmp_path, monkeypatch, capfd):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 0
    out, _ = capfd.readouterr()
    assert "test:msd" in out
    assert out.count("is closest to centroid") == demo.ASKED
    assert (tmp_path / "out/demo/centroids.png").read_bytes().startswith(b"\x89PNG")

"""Many models in one process, by the calls of a multi-model endpoint."""

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from optml.algorithms import registry
from optml.serving.app import WorkerState, create_app
from optml.serving.batching import Gate
from optml.serving.settings import Settings
from optml.serving.store import Store
from tests.serving.sample import Obedient, save_kmeans, until


@pytest.fixture(autouse=True)
def obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MODULES, "obedient", "tests.serving.sample")


def make(settings: Settings = Settings(), free: int = 1 << 40) -> tuple[FlaskClient, Store]:  # noqa: B008
    store = Store(settings, {"cpu": Gate(8)}, lambda: free)
    return create_app(WorkerState(settings), store).test_client(), store


@pytest.fixture
def client() -> FlaskClient:
    return make()[0]


def load(client: FlaskClient, name: str, url: object) -> int:
    return client.post("/models", json={"model_name": name, "url": str(url)}).status_code


def test_a_model_is_loaded_asked_and_unloaded(client: FlaskClient, tmp_path: Path) -> None:
    url = str(save_kmeans(tmp_path / "m"))
    assert client.get("/ping").status_code == 200
    assert client.get("/models").json == {"models": []}
    assert load(client, "m", url) == 200
    assert load(client, "m", url) == 409
    assert client.get("/models").json == {"models": [{"modelName": "m", "modelUrl": url}]}
    assert client.get("/models/m").json == {"modelName": "m", "modelUrl": url}
    answer = client.post("/models/m/invoke", data=b"8,8,7", content_type="text/csv")
    assert answer.json == {"predictions": [{"closest_cluster": 2.0, "distance_to_cluster": 1.0}]}
    assert client.delete("/models/m").status_code == 200
    assert client.post("/models/m/invoke", data=b"8,8,7").status_code == 404
    assert client.get("/models/m").status_code == 404
    assert client.delete("/models/m").status_code == 404


def test_several_algorithms_live_in_one_server(client: FlaskClient, tmp_path: Path) -> None:
    Obedient().save(tmp_path / "o")
    assert load(client, "k", save_kmeans(tmp_path / "k")) == 200
    assert load(client, "o", tmp_path / "o") == 200
    assert client.post("/models/o/invoke", data=b"200", headers={"Accept": "text/csv"}).data == b"200.0\n"
    assert client.post("/models/k/invoke", data=b"0,0,0", headers={"Accept": "text/csv"}).data == b"0.0,0.0\n"


def test_models_are_listed_in_pages(client: FlaskClient, tmp_path: Path) -> None:
    url = save_kmeans(tmp_path / "m")
    for name in "cab":
        load(client, name, url)
    first = client.get("/models?limit=2").json
    assert [model["modelName"] for model in first["models"]] == ["a", "b"]
    second = client.get("/models", query_string={"next_page_token": first["nextPageToken"]}).json
    assert [model["modelName"] for model in second["models"]] == ["c"]
    assert "nextPageToken" not in second


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model_name": "m"}', b'{"model_name": "", "url": "/x"}']
)
def test_a_body_that_is_no_order_to_load_is_400(client: FlaskClient, body: bytes) -> None:
    assert client.post("/models", data=body).status_code == 400


def test_a_missing_folder_is_404(client: FlaskClient, tmp_path: Path) -> None:
    assert load(client, "m", tmp_path / "none") == 404


def test_a_broken_model_is_500_with_its_reason_and_can_be_loaded_again(
    client: FlaskClient, tmp_path: Path
) -> None:
    Obedient().save(tmp_path)
    (tmp_path / "broken").touch()
    answer = client.post("/models", json={"model_name": "m", "url": str(tmp_path)})
    assert answer.status_code == 500
    assert answer.json["error"]["message"].startswith("Unable to load model: ")
    assert "train again" in answer.text
    (tmp_path / "broken").unlink()
    assert load(client, "m", tmp_path) == 200


def test_a_model_without_room_is_507(tmp_path: Path) -> None:
    url = save_kmeans(tmp_path / "m")
    assert load(make(Settings(memory=1 << 20))[0], "m", url) == 507
    assert load(make(free=1 << 20)[0], "m", url) == 507
    client, _ = make(Settings(memory=50 << 20))  # room for one workspace of 32 MiB
    assert load(client, "m", url) == 200
    assert load(client, "n", url) == 507
    client.delete("/models/m")
    assert load(client, "n", url) == 200


def test_an_unloaded_model_is_gone_from_memory(client: FlaskClient, tmp_path: Path) -> None:
    client_, store = make()
    load(client_, "m", save_kmeans(tmp_path))
    with store.use("m") as predictor:
        model = weakref.ref(predictor.served.model)
    del predictor
    client_.delete("/models/m")
    gc.collect()
    assert model() is None


def test_unloading_waits_for_answers_under_way(tmp_path: Path) -> None:
    client, store = make()
    Obedient().save(tmp_path)
    load(client, "m", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(client.post, "/models/m/invoke", data=b"-4", content_type="text/csv")
        until(tmp_path / f"held-{os.getpid()}")
        unloaded = pool.submit(store.unload, "m")
        with pytest.raises(TimeoutError):
            unloaded.result(0.1)
        (tmp_path / "go").touch()
        unloaded.result(60)
        assert answer.result(60).status_code == 200


def test_a_slow_load_holds_nobody_up(tmp_path: Path) -> None:
    client, _ = make()
    Obedient().save(tmp_path / "slow")
    (tmp_path / "slow/slow").touch()
    loading = threading.Thread(target=load, args=(client, "slow", tmp_path / "slow"))
    loading.start()
    until(tmp_path / "slow/loading")
    assert load(client, "m", save_kmeans(tmp_path / "m")) == 200
    assert client.post("/models/m/invoke", data=b"0,0,0").status_code == 200
    assert client.post("/models/slow/invoke", data=b"0").status_code == 404
    assert load(client, "slow", tmp_path / "slow") == 409
    (tmp_path / "slow/go").touch()
    loading.join()
    assert client.post("/models/slow/invoke", data=b"0").status_code == 200


def test_invocations_without_a_name_tell_the_way(client: FlaskClient) -> None:
    answer = client.post("/invocations", data=b"1")
    assert answer.status_code == 404
    assert "/models/NAME/invoke" in answer.text


@pytest.mark.parametrize("url", ["x" * 5000, "/" + "y" * 300, "/", "/etc", "a\0b", "/dev/null"])
def test_a_url_that_is_no_folder_of_a_model_is_a_mistake_of_the_client(client: FlaskClient, url: str) -> None:
    """Whose answer names no file of the folder."""
    answer = client.post("/models", json={"model_name": "m", "url": url})
    assert answer.status_code in (400, 404)
    assert not any(name in answer.text for name in ("passwd", "bin", "tmp"))
    assert len(answer.text) < 500
    assert client.get("/models").json == {"models": []}


@pytest.mark.parametrize("name", ["n" * 257, "a\x1b[2J", "a\nb", "a\u2028b"])
def test_a_name_that_no_url_could_hold_is_refused(client: FlaskClient, tmp_path: Path, name: str) -> None:
    assert load(client, name, save_kmeans(tmp_path / "m")) == 400


def test_the_longest_name_can_be_unloaded(client: FlaskClient, tmp_path: Path) -> None:
    name = "\U0001d54f" * 256
    assert load(client, name, save_kmeans(tmp_path / "m")) == 200
    quoted = quote(name)
    assert len(f"DELETE /models/{quoted} HTTP/1.1") < 4094  # what gunicorn reads of a first line
    assert client.delete(f"/models/{quoted}").status_code == 200

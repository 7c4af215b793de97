"""A multi-model endpoint: the walk of the contract, on a real server."""

from pathlib import Path

import requests

from tests.contract.server import OBEDIENT, serving
from tests.serving.sample import Obedient, save_kmeans


def test_models_come_and_go(tmp_path: Path) -> None:
    url = str(save_kmeans(tmp_path / "models/m/model"))
    Obedient().save(tmp_path / "models/o/model")
    with serving(tmp_path, OBEDIENT, SAGEMAKER_MULTI_MODEL="true") as server:

        def load(name: str, url: str) -> int:
            return requests.post(f"{server.url}/models", json={"model_name": name, "url": url}).status_code

        assert load("m", url) == 200
        assert load("m", url) == 409
        assert load("o", str(tmp_path / "models/o/model")) == 200
        assert [model["modelName"] for model in server.get("/models").json()["models"]] == ["m", "o"]
        assert server.get("/models/m").json() == {"modelName": "m", "modelUrl": url}
        answer = requests.post(f"{server.url}/models/m/invoke", data="8,8,7", headers={"Accept": "text/csv"})
        assert answer.text == "2.0,1.0\n"
        answer = requests.post(f"{server.url}/models/o/invoke", data="200", headers={"Accept": "text/csv"})
        assert answer.text == "200.0\n"
        assert "optml_models_loaded 2.0" in server.get("/metrics").text
        assert requests.delete(f"{server.url}/models/m").status_code == 200
        assert requests.post(f"{server.url}/models/m/invoke", data="8,8,7").status_code == 404


def test_no_room_is_507(tmp_path: Path) -> None:
    url = str(save_kmeans(tmp_path / "models/m/model"))
    with serving(tmp_path, SAGEMAKER_MULTI_MODEL="true", OPTML_MME_MEMORY_MB="10") as server:
        answer = requests.post(f"{server.url}/models", json={"model_name": "m", "url": url})
        assert answer.status_code == 507
        assert server.get("/ping").status_code == 200

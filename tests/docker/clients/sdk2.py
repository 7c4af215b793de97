"""AWS's SDK v2 in local mode, as a user's script: fit, deploy, predict, batch transform. No network.

Runs in a virtual environment of its own: IMAGE, then a folder that holds `train/` and gets the rest.
"""

import json
import logging
import socket
import sys
from pathlib import Path

from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.local import LocalSession
from sagemaker.serializers import CSVSerializer, IdentitySerializer

ROLE = "arn:aws:iam::111111111111:role/local"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def estimator(image: str, folder: Path, **hyperparameters: object) -> Estimator:
    session = LocalSession()
    session.config = {
        "local": {"local_code": True, "container_root": str(folder), "serving_port": free_port()}
    }
    return Estimator(
        image_uri=image,
        role=ROLE,
        instance_count=1,
        instance_type="local",
        hyperparameters=hyperparameters,
        sagemaker_session=session,
        output_path=f"file://{folder}/artifacts",
    )


def train(made: Estimator, folder: Path) -> None:
    made.fit({"train": TrainingInput(f"file://{folder}/train", content_type="text/csv;label_size=0")})


def walk(image: str, folder: Path) -> dict[str, object]:
    """Train, serve, predict two rows, transform a file of them."""
    made = estimator(image, folder, k=3, feature_dim=4, force_dense=True, eval_metrics=["msd", "ssd"])
    train(made, folder)
    predictor = made.deploy(1, "local", serializer=CSVSerializer(), deserializer=JSONDeserializer())
    try:
        predicted = predictor.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    finally:
        predictor.delete_endpoint()
    transformer = made.transformer(
        1,
        "local",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="application/jsonlines",
        output_path=f"file://{folder}/transformed",
    )
    transformer.transform(f"file://{folder}/train", content_type="text/csv", split_type="Line", logs=False)
    return {"predicted": predicted}


def builtin(image: str, folder: Path) -> dict[str, object]:
    """Train on whatever the SDK itself names as the image of K-Means, which must be `image`."""
    retrieved = image_uris.retrieve("kmeans", "us-east-1")
    assert retrieved == image, retrieved
    train(estimator(retrieved, folder, k=3, feature_dim=4), folder)
    return {}


def drive(image: str, folder: Path) -> dict[str, object]:
    """Train, serve, and ask once: `job.json` says what, `request` holds the bytes."""
    job = json.loads((folder / "job.json").read_text())
    made = estimator(image, folder, **job["hyperparameters"])
    made.environment = {"OPTML_ALGORITHM": job["algorithm"]}
    made.fit(
        {
            name: TrainingInput(f"file://{folder}/{name}", content_type=job["content_type"] or None)
            for name in job["channels"]
        }
    )
    model = made.create_model(env=made.environment)
    predictor = model.deploy(1, "local", serializer=IdentitySerializer(job["media"]))
    try:
        answer = predictor.predict((folder / "request").read_bytes())
    finally:
        predictor.delete_endpoint()
    (folder / "response").write_bytes(answer)
    return {}


def refused(image: str, folder: Path) -> dict[str, object]:
    """Train with a hyperparameter that is wrong; the container's own words go to stdout."""
    try:
        train(estimator(image, folder, k="three", feature_dim=4), folder)
    except RuntimeError as error:
        return {"error": str(error)}
    return {}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    action, image, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    answer = {"walk": walk, "builtin": builtin, "drive": drive, "refused": refused}[action](image, folder)
    (folder / "answer.json").write_text(json.dumps(answer))

"""An inference pipeline: what PCA answers is what K-Means is asked, each in a server of its own.

As the platform chains containers: body and Content-Type of an answer are those of the next request, each
listens where `SAGEMAKER_BIND_TO_PORT` says, and only the last one is told what the client accepts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms.kmeans.model import Model as Centers
from optml.formats.content_type import CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF
from optml.formats.record_protobuf import encode
from optml.formats.records import Records
from tests.algorithms.pca.training import fit, spread
from tests.contract.server import serving

ROWS = spread(500, 12)


def test_k_means_reads_whatever_pca_answers(tmp_path: Path) -> None:
    components, _ = fit(ROWS, num_components=3)
    projected = components.project(ROWS)
    centers = Centers(projected[[3, 100, 200, 350]], np.ones(4))
    labels, distances = centers.assign(projected)
    components.save(tmp_path / "pca/model")
    centers.save(tmp_path / "kmeans/model")
    csv = "".join(",".join(map(repr, row)) + "\n" for row in ROWS.tolist()).encode()
    requests = [(CSV, csv, accept) for accept in ("*/*", JSON, JSON_LINES, RECORDIO_PROTOBUF, CSV)]
    requests.append((RECORDIO_PROTOBUF, encode(Records(ROWS)), "*/*"))
    with serving(tmp_path / "pca") as first, serving(tmp_path / "kmeans") as second:
        assert first.port != second.port
        for content_type, body, accept in requests:
            between = first.invoke(body, headers={"Content-Type": content_type, "Accept": accept})
            assert between.status_code == 200, between.text
            forwarded = between.headers["Content-Type"]
            assert forwarded == (JSON if accept == "*/*" else accept)
            answer = second.invoke(between.content, headers={"Content-Type": forwarded, "Accept": JSON})
            assert answer.status_code == 200, answer.text
            found = answer.json()["predictions"]
            assert [row["closest_cluster"] for row in found] == labels.tolist()
            np.testing.assert_allclose([row["distance_to_cluster"] for row in found], distances, atol=1e-5)

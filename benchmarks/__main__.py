"""`python -m benchmarks --device cpu|cuda [--out DIR]`: measure, print tables, write JSON.

cuda needs a GPU and only torch, triton, numpy, scipy, scikit-learn, pydantic, safetensors and pytest: it runs
the GPU tests first, then every GPU benchmark, in less than ten minutes. Without a GPU it says so and exits 2.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.environment import RESULTS

# serving needs wrk, forecasting_deepar a Python with GluonTS
CPU = (
    "formats",
    "images",
    "kmeans",
    "knn",
    "linear_learner",
    "pca",
    "factorization_machines",
    "forecasting_deepar",
    "image_classification",
    "ipinsights",
    "lda",
    "ntm",
    "object2vec",
    "object_detection",
    "randomcutforest",
    "semantic_segmentation",
    "seq2seq",
    "tuning",
    "xgboost",
    "xgboost_serving",
    "blazingtext",
    "job",
    "serving",
    "serving_load",
    "hostile_bodies",
    "control",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure optml.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what to measure (cpu)")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder for the results (benchmarks/results)"
    )
    given = parser.parse_args()
    if given.device == "cpu":
        return max(cpu(name, given.out) for name in CPU)
    return cuda(given.out)


def cpu(name: str, folder: Path) -> int:
    """Run a benchmark in a process of its own: each sets threads and processors as it needs them."""
    print(f"== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", str(folder)]).returncode


def cuda(folder: Path) -> int:
    try:
        import torch
    except ImportError:
        print("--device cuda needs torch, which is not installed", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("--device cuda needs a GPU, and torch sees none here", file=sys.stderr)
        return 2
    from benchmarks import (
        blazingtext_cuda,
        factorization_machines_cuda,
        forecasting_deepar_cuda,
        ipinsights_cuda,
        kmeans_cuda,
        knn_cuda,
        linear_learner_cuda,
        ntm_cuda,
        pca_cuda,
        randomcutforest_cuda,
        xgboost_cuda,
    )

    root = Path(__file__).resolve().parents[1]
    folders = root / "tests" / "algorithms"
    tests = sorted(str(path) for name in ("test_*_triton.py", "test_cuda.py") for path in folders.rglob(name))
    # pyproject.toml configures plugins that such a host need not have.
    pytest = [sys.executable, "-m", "pytest", "-W", "ignore::pytest.PytestConfigWarning"]
    tested = subprocess.run([*pytest, *tests], cwd=root, timeout=300)
    kmeans_cuda.cuda(folder)
    blazingtext_cuda.cuda(folder)
    factorization_machines_cuda.cuda(folder)
    forecasting_deepar_cuda.cuda(folder)
    ipinsights_cuda.cuda(folder)
    knn_cuda.cuda(folder)
    linear_learner_cuda.cuda(folder)
    ntm_cuda.cuda(folder)
    pca_cuda.cuda(folder)
    randomcutforest_cuda.cuda(folder)
    xgboost_cuda.cuda(folder)
    return tested.returncode


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

import pytest

from optml.algorithms.knn.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError

GIVEN = {"k": "5", "predictor_type": "classifier", "sample_size": "1000"}


def read(**hyperparameters: str) -> Hyperparameters:
    return parse(GIVEN | hyperparameters, Hyperparameters, [])[0]


def test_defaults_are_those_of_aws() -> None:
    settings = read()
    assert settings.feature_dim == settings.faiss_index_ivf_nlists == "auto"
    assert (settings.index_type, settings.index_metric) == ("faiss.Flat", "L2")
    assert (settings.mini_batch_size, settings.epochs, settings.faiss_index_nprobe) == (5000, 1, 5)


def test_the_engines_knobs_of_aws_are_taken() -> None:
    settings = read(_faiss_index_nprobe="20", _kvstore="dist_async", _num_kv_servers="1")
    assert settings.faiss_index_nprobe == 20


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"k": "0"}, r"k='0' is not an integer >= 1"),
        ({"epochs": "2"}, r"epochs='2' is not an integer >= 1 and <= 1"),
        ({"dimension_reduction_type": "sign"}, r"is 'sign', but dimension_reduction_target is not given"),
        ({"dimension_reduction_target": "4"}, r"is 4, but dimension_reduction_type is not given"),
        (
            {"dimension_reduction_type": "fjlt", "dimension_reduction_target": "8", "feature_dim": "8"},
            r"is 8, but there are 8 features",
        ),
        ({"index_type": "faiss.IVFPQ", "index_metric": "COSINE"}, r"faiss\.IVFPQ supports only L2"),
        ({"faiss_index_pq_m": "5"}, r"1.*, 2.*, 3.*, 4.*, 8.*, 96"),
        ({"_faiss_index_nprobe": "0"}, r"_faiss_index_nprobe='0' is not an integer >= 1"),
    ],
)
def test_what_cannot_be_is_refused(hyperparameters: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(**hyperparameters)


@pytest.mark.parametrize("name", ["k", "predictor_type", "sample_size"])
def test_what_is_required_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is required"):
        parse({key: value for key, value in GIVEN.items() if key != name}, Hyperparameters, [])

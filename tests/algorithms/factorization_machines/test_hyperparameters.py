from __future__ import annotations

import pytest

from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError

REQUIRED = {"feature_dim": "10", "num_factors": "2", "predictor_type": "regressor"}


def read(**hyperparameters: str) -> Hyperparameters:
    return parse(REQUIRED | hyperparameters, ALGORITHM.hyperparameters, ())[0]


def test_what_is_required_is_listed_at_once() -> None:
    with pytest.raises(UserError) as error:
        parse({}, ALGORITHM.hyperparameters, ())
    for name in REQUIRED:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"epoch": "3"}, "did you mean 'epochs'"),
        ({"eps": "0"}, "eps is 0: it keeps Adam from dividing by 0"),
        ({"eps": "1e-50"}, "eps is 1e-50: it keeps"),  # 0 in float32
        ({"rescale_grad": "0"}, "nothing is learned"),
        ({"feature_dim": str(2**41)}, "at most 1099511627776 features wide"),
        ({"factors_lr": "-1"}, "factors_lr"),
        ({"bias_init_method": "xavier"}, "bias_init_method"),
    ],
)
def test_what_cannot_be_is_refused(hyperparameters: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(**hyperparameters)


def test_what_aws_s_default_file_holds_is_read() -> None:
    ours = read(
        use_bias="true", use_linear="True", clip_gradient="-1", eps="1e-6", rescale_grad="1.0", _wd="1.0",
        _optimizer="adam", batch_metrics_publish_interval="500",
    )  # fmt: skip
    assert (ours.use_bias, ours.clip_gradient, ours.eps) == (True, -1.0, 1e-6)

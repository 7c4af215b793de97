from __future__ import annotations

import pytest

from optml.algorithms.xgboost.engine import metrics, parameters
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


def read(**hyperparameters: object) -> Hyperparameters:
    texts = {"num_round": "3"} | {name: str(value) for name, value in hyperparameters.items()}
    return parse(texts, Hyperparameters, [])[0]


def refusal(**hyperparameters: object) -> str:
    with pytest.raises(UserError) as error:
        read(**hyperparameters)
    return str(error.value)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"booster": "gblinear", "updater": "shotgun"},
        {"booster": "dart", "rate_drop": "0.1", "normalize_type": "forest"},
        {"updater": "grow_colmaker, prune"},
        {"updater": "grow_quantile_histmaker"},
        {"process_type": "update", "updater": "refresh,prune"},
        {"tree_method": "exact", "monotone_constraints": "(1, 0, -1)"},
        {"tree_method": "approx", "interaction_constraints": "[[0, 1], [2, 3]]"},
        {"objective": "multi:softmax", "num_class": "3.0"},
        {"objective": "multi:softprob", "num_class": 3, "eval_metric": "auc,mlogloss"},
        {"objective": "survival:aft", "eval_metric": "aft-nloglik", "aft_loss_distribution": "extreme"},
        {"eval_metric": "rmse , mae", "early_stopping_rounds": 5},
        {"objective": "binary:hinge", "eval_metric": "error@0.7"},
        {"objective": "reg:tweedie", "eval_metric": "tweedie-nloglik@1.3"},
        {"objective": "reg:quantileerror", "quantile_alpha": "0.1,0.5"},
        {"_kfold": 5, "_num_cv_round": 2},
        {"device": "cuda:1"},
        {"save_model_on_termination": "True", "csv_weights": 1, "_tuning_objective_metric": "validation:auc"},
    ],
)
def test_sets_that_the_container_takes(hyperparameters: dict[str, object]) -> None:
    read(**hyperparameters)


@pytest.mark.parametrize("verbosity", range(4))
def test_every_verbosity_is_taken(verbosity: int) -> None:
    assert read(verbosity=verbosity).verbosity == verbosity


def test_aliases_are_the_same_hyperparameter() -> None:
    h = read(learning_rate=0.1, min_split_loss=2, reg_lambda=3, reg_alpha=4)
    library = parameters(h, [], "cpu", 0)
    assert (library["eta"], library["gamma"], library["lambda"], library["alpha"]) == (0.1, 2, 3, 4)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"foo": 1}, "Extraneous hyperparameter found: foo"),
        ({"max_dept": 1}, "did you mean 'max_depth'?"),
        ({"num_round": "ten"}, "Hyperparameter num_round: could not parse value 'ten'"),
        ({"eta": 1.5}, "Hyperparameter eta: 1.5 is not in [0, 1]"),
        ({"subsample": 0}, "Hyperparameter subsample: 0 is not in (0, 1]"),
        ({"gamma": -1}, "Hyperparameter gamma: -1 is not in [0, +inf)"),
        ({"num_parallel_tree": 0}, "Hyperparameter num_parallel_tree: 0 is not in [1, +inf)"),
        ({"seed": 2**31 - 1}, "Hyperparameter seed: 2147483647 is not in (-2147483648, 2147483647)"),
        ({"objective": "reg:mine"}, "Hyperparameter objective: reg:mine is not in ['binary:logistic'"),
        ({"objective": "aft_loss_distribution"}, "Hyperparameter objective: aft_loss_distribution is not in"),
        ({"eta": 0.1, "learning_rate": 0.2}, "eta='0.1' and learning_rate='0.2' are the same"),
        ({"objective": "multi:softmax"}, "Require input for parameter 'num_class' for multi-classification"),
        ({"num_class": 3}, "num_class=3 goes with objective multi:softmax or multi:softprob"),
        ({"eval_metric": "foo"}, "Hyperparameter eval_metric: foo is not in"),
        (
            {"eval_metric": "rmse@3"},
            "Metric 'rmse@3' is not supported. Parameter 'eval_metric' with",
        ),
        ({"eval_metric": "error@x"}, "Threshold value 'x' in 'error@x' expects float input."),
        ({"eval_metric": "aft-nloglik"}, "can only be applied with objective survival:aft"),
        ({"eval_metric": "accuracy"}, "Metric 'accuracy' needs an objective of classes"),
        ({"booster": "gblinear", "updater": "prune"}, "Linear updater should be one of"),
        ({"updater": "shotgun"}, "goes with booster=gblinear"),
        ({"updater": "grow_colmaker,grow_histmaker"}, "Only one tree grow plugin can be selected"),
        (
            {"process_type": "update", "updater": "sync"},
            "can only be used with updater 'refresh' and 'prune'",
        ),
        ({"updater": "distcol"}, "grow_histmaker is the nearest"),
        ({"interaction_constraints": "[0, 1]"}, "expected groups of feature indices"),
        ({"booster": "gblinear", "monotone_constraints": "1"}, "monotone_constraints is about trees"),
        ({"monotone_constraints": "(2,0)"}, "monotone_constraints"),
        ({"max_bin": 1}, "Hyperparameter max_bin: 1 is not in [2, +inf)"),
        ({"max_depth": 0}, "max_depth=0 sets no limit"),
        ({"device": "gpu"}, "Hyperparameter device: gpu is not in"),
        ({"objective": "reg:quantileerror"}, "needs quantile_alpha"),
        ({"updater": "refresh"}, "grows no tree"),
        ({"updater": "prune,grow_colmaker"}, "grows no tree"),
        ({"updater": "sync"}, "grows no tree"),
        ({"process_type": "update"}, "updater=refresh, prune, or both"),
        (
            {"tree_method": "exact", "max_depth": 0, "max_leaves": 4},
            "max_depth=0 (no limit) does not go",
        ),
        ({"updater": "grow_colmaker", "colsample_bynode": 0.5}, "colsample_bynode=0.5 does not go with"),
        (
            {"tree_method": "exact", "sampling_method": "gradient_based"},
            "sampling_method=gradient_based",
        ),
        ({"booster": "gblinear", "feature_selector": "greedy"}, "needs updater=coord_descent"),
        ({"multi_strategy": "multi_output_tree", "tree_method": "approx"}, "needs tree_method hist"),
        ({"objective": "reg:pseudohubererror", "huber_slope": 0}, "Hyperparameter huber_slope: 0"),
        ({"eval_metric": "interval-regression-accuracy"}, "can only be applied with objective survival:aft"),
    ],
)
def test_mistakes_are_told_in_the_words_that_users_grep_for(
    hyperparameters: dict[str, object], message: str
) -> None:
    assert message in refusal(**hyperparameters)


def test_a_missing_num_round_is_told_in_the_words_that_users_grep_for() -> None:
    with pytest.raises(UserError, match="Missing required hyperparameter: num_round"):
        parse({}, Hyperparameters, [])


def test_all_mistakes_are_told_at_once() -> None:
    assert len(refusal(eval_metric="auc,foo", objective="multi:softmax").splitlines()) == 3


@pytest.mark.parametrize(
    "objective",
    ["count:poisson", "reg:gamma", "reg:logistic", "reg:squarederror", "reg:tweedie", "survival:cox"],
)
def test_auc_needs_classes_or_ranks(objective: str) -> None:
    message = refusal(objective=objective, eval_metric="auc")
    assert "Metric 'auc' can only be applied for classification and ranking problems." in message


def test_positive_class_metrics_are_refused_where_there_are_several() -> None:
    message = refusal(objective="multi:softmax", num_class=3, eval_metric="f1_binary")
    assert "Target is multiclass but average='binary'" in message


def test_names_that_the_platform_adds_are_never_extraneous() -> None:
    read(sagemaker_program="a.py", _tuning_objective_metric="validation:rmse", _anything="1")


def test_native_hyperparameters_pass_where_they_are_allowed() -> None:
    h = read(allow_native_hyperparameters="true", max_cached_hist_node="9")
    assert parameters(h, [], "cpu", 0)["max_cached_hist_node"] == "9"


def test_only_what_was_given_goes_to_the_library() -> None:
    assert parameters(read(), [], "cpu", 7) == {"objective": "reg:squarederror", "device": "cpu", "seed": 7}


def test_old_names_are_translated_or_dropped_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    h = read(
        tree_method="gpu_hist", predictor="cpu_predictor", sketch_eps=0.1, objective="reg:linear", silent=1
    )
    library = parameters(h, [], "cuda:0", 0)
    assert library["tree_method"] == "hist"
    assert library["objective"] == "reg:squarederror"
    assert library["verbosity"] == 0
    assert not {"predictor", "sketch_eps", "silent"} & set(library)
    assert [record.getMessage().split()[1] for record in caplog.records] == ["predictor", "sketch_eps"]


def test_constraints_go_on_as_the_library_reads_them() -> None:
    h = read(monotone_constraints="(1, 0, -1)", interaction_constraints="[[0,1],[2]]")
    library = parameters(h, [], "cpu", 0)
    assert library["monotone_constraints"] == "(1,0,-1)"
    assert library["interaction_constraints"] == "[[0,1],[2]]"


def test_metrics_are_the_union_with_the_tuned_one() -> None:
    assert metrics(read(eval_metric="rmse,mae"), "validation:mape") == ["mae", "mape", "rmse"]
    assert metrics(read(eval_metric="rmse,mae"), "validation:mae") == ["rmse", "mae"]
    assert metrics(read(), "validation:mae") == ["mae"]
    assert metrics(read(), None) == []
    with pytest.raises(UserError, match="Metric 'auc' can only"):
        metrics(read(), "validation:auc")


def test_a_gpu_asked_for_in_vain_is_refused() -> None:
    for hyperparameters in (
        {"tree_method": "gpu_hist"},
        {"device": "cuda"},
        {"use_dask_gpu_training": "true"},
    ):
        with pytest.raises(UserError, match="needs a GPU, and none is visible"):
            read(**hyperparameters).gpus(0)


def test_one_gpu_is_used_and_all_only_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    assert read().gpus(4) == 1
    assert "Not all GPUs on the instance will be used" in caplog.text
    assert read(use_dask_gpu_training="true").gpus(4) == 4
    assert read(device="cpu").gpus(4) == 0
    assert read(tree_method="exact").gpus(4) == 0
    assert read().gpus(0) == 0

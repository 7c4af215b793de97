"""The hyperparameters of XGBoost one by one: those of AWS's container, and what the library learned since."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from optml.algorithms import base
from optml.algorithms.xgboost.names import EvalMetric

log = logging.getLogger(__name__)

Flag = Literal["true", "false"]

Objective = Literal[
    "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax", "multi:softprob",
    "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic", "reg:gamma",
    "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft",
    "survival:cox", "reg:quantileerror",
]  # fmt: skip


Updater = Literal[
    "grow_colmaker", "distcol", "grow_histmaker", "grow_skmaker", "grow_quantile_histmaker", "sync",
    "refresh", "prune", "shotgun", "coord_descent",
]  # fmt: skip


def _about(
    tunable: tuple[float, float] | None = None,
    when: str | None = None,
    aliases: tuple[str, ...] = (),
    deviation: str | None = None,
) -> dict[str, Any]:
    """What a field publishes beside its type."""
    extra: dict[str, Any] = {}
    if tunable:
        extra["tunable"] = {"scale": "Linear", "min": tunable[0], "max": tunable[1]}
    if when:
        extra["applies_when"] = when
    if aliases:
        extra["aliases"] = list(aliases)
    if deviation:
        extra["deviation"] = deviation
    return extra


class Fields(base.Hyperparameters):
    """Names, types, bounds, defaults and meanings."""

    model_config = ConfigDict(extra="allow", frozen=True)
    wording: ClassVar[base.Wording] = base.Wording(
        unknown="Extraneous hyperparameter found: {name}{near}",
        missing="Missing required hyperparameter: {name}; expected {domain}",
        unreadable="Hyperparameter {name}: could not parse value '{value}'; expected {domain}",
        outside="Hyperparameter {name}: {value} is not in {range}{near}",
        unknown_channel="Extraneous channel found: {name}; {near}{others}",
        missing_channel="Missing required channel: {name}; {others}",
    )

    num_round: int = Field(ge=1, description="Rounds of boosting.", json_schema_extra=_about((1, 4000)))
    num_class: int | None = Field(
        None,
        ge=2,
        description="Number of classes.",
        json_schema_extra=_about(when="objective is multi:softmax or multi:softprob (then required)"),
    )
    csv_weights: int = Field(
        0,
        ge=0,
        le=1,
        description="1: the CSV column after the label holds the weights of the rows.",
        json_schema_extra=_about(when="training data are CSV"),
    )
    early_stopping_rounds: int | None = Field(
        None,
        ge=1,
        description="Stop when the last metric of the validation channel has not improved for so many "
        "rounds; the model keeps the rounds up to the best one.",
        json_schema_extra=_about(when="validation channel given"),
    )
    booster: Literal["gbtree", "gblinear", "dart"] = Field("gbtree", description="What is boosted.")
    verbosity: int = Field(1, ge=0, le=3, description="0 silent, 1 warnings, 2 information, 3 debugging.")
    nthread: int | None = Field(None, ge=1, description="Threads; left out: all cores of the container.")
    eta: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Shrinkage of each round.",
        json_schema_extra=_about((0.1, 0.5), aliases=("learning_rate",)),
    )
    gamma: float = Field(
        0,
        ge=0,
        description="Least reduction of the loss that a split must bring.",
        json_schema_extra=_about((0, 5), aliases=("min_split_loss",)),
    )
    max_depth: int = Field(
        6,
        ge=0,
        description="Depth of a tree at most; 0: no limit, but that of max_leaves.",
        json_schema_extra=_about((0, 10)),
    )
    min_child_weight: float = Field(
        1, ge=0, description="Least sum of hessians in a child.", json_schema_extra=_about((0, 120))
    )
    max_delta_step: float = Field(
        0,
        ge=0,
        description="Largest step of a leaf's output; 0: no limit.",
        json_schema_extra=_about((0, 10)),
    )
    subsample: float = Field(
        1, gt=0, le=1, description="Share of rows of each round.", json_schema_extra=_about((0.5, 1))
    )
    colsample_bytree: float = Field(
        1, gt=0, le=1, description="Share of columns of each tree.", json_schema_extra=_about((0.5, 1))
    )
    colsample_bylevel: float = Field(
        1, gt=0, le=1, description="Share of columns of each depth.", json_schema_extra=_about((0.1, 1))
    )
    colsample_bynode: float = Field(
        1, gt=0, le=1, description="Share of columns of each split.", json_schema_extra=_about((0.1, 1))
    )
    lambda_: float = Field(
        1,
        alias="lambda",
        ge=0,
        description="L2 penalty on the leaves' outputs.",
        json_schema_extra=_about((0, 1000), aliases=("reg_lambda",)),
    )
    alpha: float = Field(
        0,
        ge=0,
        description="L1 penalty on the leaves' outputs.",
        json_schema_extra=_about((0, 1000), aliases=("reg_alpha",)),
    )
    tree_method: Literal["auto", "exact", "approx", "hist", "gpu_hist"] = Field(
        "auto", description="How trees are grown; auto: hist. gpu_hist is hist on a GPU."
    )
    sketch_eps: float = Field(0.03, gt=0, lt=1, description="Of old engines; has no effect.")
    scale_pos_weight: float = Field(1, gt=0, description="Weight of positive rows.")
    updater: tuple[Updater, ...] | None = Field(
        None, description="The chain of updaters, where it is not auto."
    )
    dsplit: Literal["row", "col"] | None = Field(None, description="Of old engines; has no effect.")
    refresh_leaf: int = Field(
        1,
        ge=0,
        le=1,
        description="1: refresh the leaves' outputs, not only the statistics.",
        json_schema_extra=_about(when="updater contains refresh"),
    )
    process_type: Literal["default", "update"] = Field(
        "default", description="update: revise the trees of the model in the channel 'model'."
    )
    grow_policy: Literal["depthwise", "lossguide"] = Field(
        "depthwise",
        description="Which node is split next: one nearest to the root, or the one that gains most.",
        json_schema_extra=_about(when="tree_method is hist or approx"),
    )
    max_leaves: int = Field(0, ge=0, description="Leaves of a tree at most; 0: no limit.")
    max_bin: int = Field(
        256,
        ge=0,
        description="Bins of each feature; from 2 on.",
        json_schema_extra=_about(when="tree_method is hist or approx"),
    )
    predictor: Literal["auto", "cpu_predictor", "gpu_predictor"] = Field(
        "auto", description="Of old engines; has no effect."
    )
    monotone_constraints: tuple[Literal[-1, 0, 1], ...] | None = Field(
        None,
        description="For each feature: may the prediction only fall (-1) or rise (1) with it? (1,0,-1)",
        json_schema_extra=_about(when="booster is not gblinear", deviation="the choices are the bounds"),
    )
    interaction_constraints: str | None = Field(
        None,
        description="Groups of features that may occur on one path, by index: [[0,1],[2,3,4]]",
        json_schema_extra=_about(deviation="features count from 0, so index 0 is one too"),
    )
    sample_type: Literal["uniform", "weighted"] = Field(
        "uniform",
        description="How dropped trees are drawn.",
        json_schema_extra=_about(when="booster is dart"),
    )
    normalize_type: Literal["tree", "forest"] = Field(
        "tree", description="How trees are rescaled.", json_schema_extra=_about(when="booster is dart")
    )
    rate_drop: float = Field(
        0, ge=0, le=1, description="Share of trees dropped.", json_schema_extra=_about(when="booster is dart")
    )
    one_drop: int = Field(
        0,
        ge=0,
        le=1,
        description="1: drop one tree at least.",
        json_schema_extra=_about(when="booster is dart"),
    )
    skip_drop: float = Field(
        0,
        ge=0,
        le=1,
        description="Probability that a round drops nothing.",
        json_schema_extra=_about(when="booster is dart"),
    )
    lambda_bias: float = Field(0, ge=0, le=1, description="Of old engines; has no effect.")
    tweedie_variance_power: float = Field(
        1.5,
        gt=1,
        lt=2,
        description="Power of the variance.",
        json_schema_extra=_about(when="objective is reg:tweedie"),
    )
    objective: Objective = Field(
        "reg:squarederror",
        description="The loss. reg:linear is the old name of reg:squarederror.",
        json_schema_extra=_about(deviation="reg:quantileerror besides; the library has learned it since"),
    )
    base_score: float | None = Field(
        None, ge=0, description="The prediction without any tree; left out: estimated from the labels."
    )
    kfold: int | None = Field(
        None, alias="_kfold", ge=2, description="Folds of a cross-validation, which the job then does."
    )
    num_cv_round: int = Field(
        1,
        alias="_num_cv_round",
        ge=1,
        description="How often the cross-validation is repeated, each time with another split.",
        json_schema_extra=_about(when="_kfold given"),
    )
    eval_metric: tuple[EvalMetric | str, ...] | None = Field(
        None, description="Metrics of each round; left out: the one that goes with the objective."
    )
    seed: int = Field(0, gt=-(2**31), lt=2**31 - 1, description="Seed of all that is drawn.")
    num_parallel_tree: int = Field(1, ge=1, description="Trees of each round: a boosted forest.")
    save_model_on_termination: Flag = Field(
        "false", description="true: write the model after each round, so that a job that is stopped has one."
    )
    aft_loss_distribution: Literal["normal", "logistic", "extreme"] = Field(
        "normal",
        description="Distribution of the error.",
        json_schema_extra=_about(when="objective is survival:aft"),
    )
    aft_loss_distribution_scale: float = Field(
        1,
        ge=0,
        description="Scale of that distribution.",
        json_schema_extra=_about(when="objective is survival:aft"),
    )
    deterministic_histogram: Flag = Field("true", description="Of old engines; has no effect.")
    single_precision_histogram: Flag = Field("false", description="Of old engines; has no effect.")
    sampling_method: Literal["uniform", "gradient_based"] = Field(
        "uniform",
        description="How rows are drawn.",
        json_schema_extra=_about(when="gradient_based needs a GPU"),
    )
    prob_buffer_row: int | None = Field(None, gt=1, description="Of old engines; has no effect.")
    use_dask_gpu_training: Flag = Field("false", description="true: train on all GPUs of all hosts.")
    silent: int = Field(0, ge=0, le=1, description="Of old engines: 1 is verbosity 0.")
    device: str = Field(
        "auto",
        description="cpu, cuda, cuda:N or auto: a GPU where there is one and the tree method can use it.",
    )
    allow_native_hyperparameters: Flag = Field(
        "false", description="true: what this table does not know goes to the library as it is."
    )
    quantile_alpha: tuple[float, ...] | None = Field(
        None, description="Quantile levels.", json_schema_extra=_about(when="objective is reg:quantileerror")
    )
    huber_slope: float = Field(
        1,
        description="Where the loss bends.",
        json_schema_extra=_about(when="objective is reg:pseudohubererror"),
    )
    max_cat_to_onehot: int = Field(
        4, description="Categories up to which a split takes one against the rest."
    )
    feature_selector: Literal["cyclic", "shuffle", "random", "greedy", "thrifty"] | None = Field(
        None,
        description="Order in which coordinates are updated.",
        json_schema_extra=_about(when="booster is gblinear"),
    )
    top_k: int = Field(
        0,
        description="Features that greedy and thrifty select; 0: all.",
        json_schema_extra=_about(when="booster is gblinear"),
    )
    lambdarank_pair_method: Literal["mean", "topk"] = Field(
        "topk", description="How pairs are drawn.", json_schema_extra=_about(when="objective is rank:*")
    )
    lambdarank_num_pair_per_sample: int | None = Field(
        None,
        ge=1,
        description="Pairs of each row (mean), or the cut of the list (topk).",
        json_schema_extra=_about(when="objective is rank:*"),
    )
    multi_strategy: Literal["one_output_per_tree", "multi_output_tree"] = Field(
        "one_output_per_tree",
        description="One tree a class, or trees with a vector in each leaf.",
        json_schema_extra=_about(when="objective is multi:*"),
    )

"""Hyperparameters of Linear Learner, as the developer guide and AWS's SDKs list them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]

# The losses of each predictor; the first is what `auto` means.
LOSSES = {
    "binary_classifier": ("logistic", "hinge_loss"),
    "multiclass_classifier": ("softmax_loss",),
    "regressor": (
        "squared_loss",
        "absolute_loss",
        "quantile_loss",
        "huber_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
    ),
}


def _tunable(low: float, high: float) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": low, "max": high}}


def _when(condition: str) -> dict[str, Any]:
    return {"applies_when": condition}


class Hyperparameters(base.Hyperparameters):
    predictor_type: Literal["binary_classifier", "multiclass_classifier", "regressor"] = Field(
        description="Kind of target."
    )
    num_classes: int = Field(
        1,
        ge=3,
        le=1_000_000,
        description="Number of classes; labels are 0 to num_classes - 1. Required for multiclass_classifier, "
        "ignored otherwise.",
        json_schema_extra=_when("predictor_type=multiclass_classifier"),
    )
    feature_dim: PositiveInt | Auto = Field(
        "auto", description="Number of features of every row. auto: as many as the first row has."
    )
    mini_batch_size: int = Field(
        1000,
        ge=1,
        description="Rows of an optimiser step on each host; the gradient is the mean over all of them.",
        json_schema_extra=_tunable(100, 5000),
    )
    epochs: int = Field(15, ge=1, description="Most passes over the training data.")
    num_models: PositiveInt | Auto = Field(
        "auto",
        description="Models trained side by side, of which the best is kept. The first has exactly the given "
        "hyperparameters; the others vary those left at auto. auto: 32, or 1 in a tuning job.",
    )
    use_bias: bool = Field(
        True,
        description="Learn an intercept.",
        json_schema_extra={
            "tunable": {"scale": None, "min": None, "max": None, "categories": ["true", "false"]}
        },
    )
    loss: Literal[
        "auto",
        "logistic",
        "hinge_loss",
        "squared_loss",
        "absolute_loss",
        "quantile_loss",
        "huber_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
        "softmax_loss",
    ] = Field("auto", description="auto: logistic, softmax_loss or squared_loss, by predictor_type.")
    margin: float = Field(
        1.0, ge=0, description="Margin of hinge_loss.", json_schema_extra=_when("loss=hinge_loss")
    )
    quantile: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the labels that shall lie below the prediction.",
        json_schema_extra=_when("loss=quantile_loss"),
    )
    huber_delta: float = Field(
        1.0,
        ge=0,
        description="Error at which huber_loss turns from squared to absolute, in units of training labels "
        "(standard deviations, where labels are normalised).",
        json_schema_extra=_when("loss=huber_loss"),
    )
    loss_insensitivity: float = Field(
        0.01,
        gt=0,
        description="Error up to which an eps_insensitive loss is 0, in units of the training label.",
        json_schema_extra=_when("loss=eps_insensitive_squared_loss or eps_insensitive_absolute_loss"),
    )
    optimizer: Literal["auto", "adam", "sgd", "rmsprop"] = Field("auto", description="auto: adam.")
    learning_rate: Positive | Auto = Field(
        "auto",
        description="Step size. auto: 0.1 for adam and sgd, 0.01 for rmsprop, and a smaller one in half of "
        "the models.",
        json_schema_extra=_tunable(1e-5, 1),
    )
    momentum: Share | Auto = Field(
        "auto", description="Of sgd. auto: 0.", json_schema_extra=_when("optimizer=sgd")
    )
    beta_1: Share | Auto = Field(
        "auto",
        description="Decay of adam's mean gradient. auto: 0.9.",
        json_schema_extra=_when("optimizer=adam"),
    )
    beta_2: Share | Auto = Field(
        "auto",
        description="Decay of adam's mean squared gradient. auto: 0.999.",
        json_schema_extra=_when("optimizer=adam"),
    )
    bias_lr_mult: Positive | Auto = Field(
        "auto", description="The bias learns at learning_rate times this. auto: 10."
    )
    bias_wd_mult: NotNegative | Auto = Field(
        "auto", description="The bias is penalised with wd times this. auto: 0."
    )
    wd: NotNegative | Auto = Field(
        "auto",
        description="L2 penalty: wd / 2 times the sum of squared weights. auto: 1e-4, and others beside it.",
        json_schema_extra=_tunable(1e-7, 1),
    )
    l1: NotNegative | Auto = Field(
        "auto",
        description="L1 penalty: l1 times the sum of absolute weights. auto: 0, and others beside it.",
        json_schema_extra=_tunable(1e-7, 1),
    )
    use_lr_scheduler: bool = Field(True, description="Let the learning rate decay geometrically.")
    lr_scheduler_step: PositiveInt | Auto = Field(
        "auto",
        description="Optimiser steps between decays. auto: 100, and others beside it.",
        json_schema_extra=_when("use_lr_scheduler=true"),
    )
    lr_scheduler_factor: Annotated[float, Field(gt=0, lt=1)] | Auto = Field(
        "auto",
        description="What a decay multiplies the learning rate by. auto: 0.99, and others beside it.",
        json_schema_extra=_when("use_lr_scheduler=true"),
    )
    lr_scheduler_minimum_lr: Positive | Auto = Field(
        "auto",
        description="The learning rate never falls below. auto: 1e-5, and others beside it.",
        json_schema_extra=_when("use_lr_scheduler=true"),
    )
    init_method: Literal["uniform", "normal"] = Field(
        "uniform", description="How first weights are drawn: within +-init_scale, or by init_sigma."
    )
    init_scale: float = Field(
        0.07, gt=0, description="Bound of first weights.", json_schema_extra=_when("init_method=uniform")
    )
    init_sigma: float = Field(
        0.01,
        gt=0,
        description="Standard deviation of first weights.",
        json_schema_extra=_when("init_method=normal"),
    )
    init_bias: float = Field(0.0, description="First bias.")
    normalize_data: bool | Auto = Field(
        True, description="Divide each feature by its standard deviation. auto: true."
    )
    normalize_label: bool | Auto = Field(
        "auto", description="Divide the label by its standard deviation; regressor only. auto: true."
    )
    unbias_data: bool | Auto = Field("auto", description="Subtract each feature's mean. auto: use_bias.")
    unbias_label: bool | Auto = Field(
        "auto", description="Subtract the label's mean; regressor only. auto: use_bias."
    )
    num_point_for_scaler: int = Field(
        10_000, ge=1, description="Rows from which means, deviations and class frequencies are taken."
    )
    positive_example_weight_mult: Positive | Literal["balanced", "auto"] = Field(
        1.0,
        description="Weight of positive rows; negative ones weigh 1. balanced: negatives / positives. "
        "auto: half of the models 1, half balanced.",
        json_schema_extra=_tunable(1e-5, 1e5) | _when("predictor_type=binary_classifier"),
    )
    balance_multiclass_weights: bool = Field(
        False,
        description="Weigh each class by the inverse of its frequency.",
        json_schema_extra=_when("predictor_type=multiclass_classifier"),
    )
    binary_classifier_model_selection_criteria: Literal[
        "accuracy",
        "f_beta",
        "precision_at_target_recall",
        "recall_at_target_precision",
        "loss_function",
        "f1",
        "cross_entropy_loss",
    ] = Field(
        "accuracy",
        description="What the threshold and the choice of the model go by. f1 and "
        "cross_entropy_loss are old names of f_beta with beta 1 and of loss_function.",
        json_schema_extra=_when("predictor_type=binary_classifier"),
    )
    target_recall: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="Recall to hold.",
        json_schema_extra=_when("binary_classifier_model_selection_criteria=precision_at_target_recall"),
    )
    target_precision: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="Precision to hold.",
        json_schema_extra=_when("binary_classifier_model_selection_criteria=recall_at_target_precision"),
    )
    f_beta: float = Field(1.0, gt=0, description="beta of the F metrics, binary and macro.")
    num_calibration_samples: PositiveInt | Auto = Field(
        10_000_000, description="Most rows for threshold and choice of the model. auto: 10000000."
    )
    accuracy_top_k: int = Field(
        3,
        ge=1,
        le=1_000_000,
        description="k of multiclass_top_k_accuracy.",
        json_schema_extra=_when("predictor_type=multiclass_classifier"),
    )
    early_stopping_patience: int = Field(
        3, ge=1, description="Epochs without improvement that end training; more than epochs: never."
    )
    early_stopping_tolerance: float = Field(
        0.001, gt=0, description="A relative improvement below this counts as none."
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="Of first weights and of models beyond the grid; not given: OPTML_SEED."
    )

    @model_validator(mode="before")
    @classmethod
    def _classes(cls, values: Any) -> Any:
        """num_classes=1 is AWS's way to say nothing; binary classifiers and regressors don't look at it."""
        if isinstance(values, dict) and "num_classes" in values:
            multiclass = values.get("predictor_type") == "multiclass_classifier"
            if multiclass and values["num_classes"] == 2:
                raise ValueError(
                    "hyperparameter num_classes='2' is too few for predictor_type='multiclass_classifier': "
                    "for two classes use predictor_type='binary_classifier'"
                )
            if not multiclass or values["num_classes"] == 1:
                return {name: value for name, value in values.items() if name != "num_classes"}
        return values

    @model_validator(mode="after")
    def _loss_fits(self) -> Hyperparameters:
        valid = LOSSES[self.predictor_type]
        if self.loss not in ("auto", *valid):
            raise ValueError(
                f"hyperparameter loss='{self.loss}' is not for predictor_type='{self.predictor_type}', "
                f"which takes {', '.join(valid)} or auto"
            )
        return self

    @property
    def chosen_loss(self) -> str:
        """The loss, `auto` resolved."""
        return LOSSES[self.predictor_type][0] if self.loss == "auto" else self.loss

    @property
    def outputs(self) -> int:
        """Scores of a row, C: the number of classes of a multiclass classifier, else 1."""
        return self.num_classes if self.predictor_type == "multiclass_classifier" else 1

    @property
    def criterion(self) -> str:
        """binary_classifier_model_selection_criteria in the names of today."""
        criterion = self.binary_classifier_model_selection_criteria
        return {"f1": "f_beta", "cross_entropy_loss": "loss_function"}.get(criterion, criterion)

    @property
    def criterion_beta(self) -> float:
        """beta of the F that `criterion` goes by."""
        return 1.0 if self.binary_classifier_model_selection_criteria == "f1" else self.f_beta

    @property
    def calibration_rows(self) -> int:
        """num_calibration_samples, `auto` resolved."""
        return 10_000_000 if self.num_calibration_samples == "auto" else self.num_calibration_samples

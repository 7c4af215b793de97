"""DeepAR: one autoregressive recurrent network for many time series, which forecasts distributions."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.metrics import PROGRESS, SCORE_IN_BRACKETS, THROUGHPUT, MetricSpec
from optml.formats.content_type import JSON, JSON_LINES

SERIES = (
    "One series a record: start (YYYY-MM-DD HH:MM:SS), target (numbers; null or NaN where one is missing), "
    "cat (whole numbers from 0 on) and dynamic_feat (lists as long as target) where there are such. JSON "
    "lines (.json, .jsonl, .json.gz) or Parquet, in any folder below."
)
FORMATS = (JSON_LINES, "json", "json.gz", "parquet", "auto")


ALGORITHM = Algorithm(
    slug="forecasting-deepar",
    title="DeepAR",
    task="probabilistic forecasting of many time series by one autoregressive recurrent network",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=FORMATS,
                default_content_type="auto",
                input_modes=("File", "FastFile"),
                meaning=SERIES,
            ),
            ChannelSpec(
                "test",
                "test",
                content_types=FORMATS,
                default_content_type="auto",
                input_modes=("File", "FastFile"),
                distribution=("FullyReplicated",),
                meaning="The same; the last prediction_length values of a series are withheld and forecast.",
            ),
        ),
        metrics=(
            MetricSpec(
                "test:RMSE",
                "#quality_metric: host={host}, test RMSE <loss>={value}",
                "Minimize",
                "test channel given",
                score=SCORE_IN_BRACKETS,
            ),
            MetricSpec(
                "test:mean_wQuantileLoss",
                "#quality_metric: host={host}, test mean_wQuantileLoss <loss>={value}",
                "Minimize",
                "test channel given",
                score=SCORE_IN_BRACKETS,
            ),
            MetricSpec(
                "train:final_loss",
                "#quality_metric: host={host}, train final_loss <loss>={value}",
                "Minimize",
                "always",
            ),
            MetricSpec(
                "train:loss",
                "#quality_metric: host={host}, epoch={epoch}, train loss <loss>={value}",
                "Minimize",
                "each epoch",
            ),
            MetricSpec(
                "train:loss:batch",
                "#quality_metric: host={host}, epoch={epoch}, batch={batch} train loss <loss>={value}",
                "Minimize",
                "every fifth batch",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        printed=(
            MetricSpec(
                "test:mean_absolute_QuantileLoss",
                line="",
                score="#test_score ({host}, mean_absolute_QuantileLoss): {value}",
            ),
            MetricSpec(
                "test:wQuantileLoss", line="", score="#test_score ({host}, wQuantileLoss[{token}]): {value}"
            ),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", seed="random_seed"),
        learner=lazy("optml.algorithms.forecasting_deepar.learner:Learner"),
        data=lazy("optml.algorithms.forecasting_deepar.data:data"),
    ),
    inference=Inference(
        content_types=(JSON, JSON_LINES),
        accepts=(JSON, JSON_LINES),
        response=Response("predictions", ("mean",)),
        load=lazy("optml.algorithms.forecasting_deepar.model:load"),
        recognises=lazy("optml.algorithms.forecasting_deepar.aws:recognises"),
        decode=lazy("optml.algorithms.forecasting_deepar.requests:decode"),
        sample=lazy("optml.algorithms.forecasting_deepar.requests:sample"),
        variables={"DEEPAR_INFERENCE_CONFIG": lazy("optml.algorithms.forecasting_deepar.requests:of_text")},
        encode=lazy("optml.algorithms.forecasting_deepar.requests:encode"),
        follows_request=True,
        picture=lazy("optml.algorithms.forecasting_deepar.picture:draw"),
        examples=lazy("optml.algorithms.forecasting_deepar.picture:examples"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False, memory=330),
)

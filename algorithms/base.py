"""What an algorithm is: a frozen description, a learner that absorbs batches, a model that predicts.

The idea is that of SageMaker's own paper (Liberty et al., "Elastic Machine Learning Algorithms in Amazon
SageMaker", SIGMOD 2020): an algorithm is a state of bounded size that absorbs batches, agrees with the states
of other hosts, can be saved and resumed, and yields models. The container and the server know these protocols
and nothing of any one algorithm; an algorithm knows these protocols and nothing of /opt/ml or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from optml.algorithms.answers import Answer, Response, Written
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric, MetricSpec
from optml.algorithms.sources import Data, Source, Table
from optml.formats.content_type import CSV, RECORDIO_PROTOBUF
from optml.formats.records import Columns

if TYPE_CHECKING:
    from optml.algorithms.sequences.texts import Texts
    from optml.formats.content_type import ContentType


@dataclass(frozen=True, slots=True)
class Wording:
    """How mistakes are said, where users grep for the words of AWS's image.

    {name}, {value} as given, {domain} ("a number >= 0") and {range} ("[0, +inf)") as they apply, {near}: ""
    or what was perhaps meant, {others}: what there is instead.
    """

    unknown: str = "hyperparameter '{name}' is unknown{near}"
    missing: str = "hyperparameter {name} is required and was not given: {domain}"
    unreadable: str = "hyperparameter {name}='{value}' is not {domain}{near}"
    outside: str = "hyperparameter {name}='{value}' is not {domain}{near}"
    unknown_channel: str = "channel '{name}' is unknown; {near}{others}"
    missing_channel: str = "channel '{name}' is required and was not given; {others}"


class Hyperparameters(BaseModel):
    """Base of every algorithm's hyperparameters: names, types, bounds, defaults and meanings as data.

    Fields are declared with `pydantic.Field(default, ge=..., description=...)`, choices as `Literal`,
    values that may be "auto" as `Annotated[int, Field(ge=1)] | Literal["auto"]` (a bound beside a union would
    be held against "auto" too), lists as `tuple[Literal[...], ...]`; what the tuner may vary as
    `json_schema_extra={"tunable": {"min": 1, "max": 10, "scale": None}}`; `"aliases": [...]` there are other
    names of the same. Rules between fields are pydantic validators that raise ValueError with a whole
    sentence.
    `container/hyperparameters.py` parses SageMaker's strings into it and prints it as a schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    wording: ClassVar[Wording] = Wording()

    @classmethod
    def passes(cls, texts: Mapping[str, str]) -> bool:
        """Do names outside the table go to the algorithm's library as they are? `texts`: all that was given.
        An algorithm that says yes allows extra fields."""
        return False

    def gpus(self, count: int) -> int:
        """Of the GPUs found on a host, how many the job takes; 0: the CPU. Raises UserError where they do not
        do for what was asked."""
        return count


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One input channel that an algorithm knows."""

    name: str
    role: Literal["train", "validation", "test", "auxiliary"]  # validation: each round; test: after the end
    required: bool = False
    content_types: tuple[str, ...] = (RECORDIO_PROTOBUF, CSV)
    default_content_type: str | None = None  # None: found out from the first bytes
    label_size: int | None = 1  # leading label columns of a CSV without label_size=; None: by feature_dim
    input_modes: tuple[str, ...] = ("File", "FastFile", "Pipe")
    distribution: tuple[str, ...] = ("FullyReplicated", "ShardedByS3Key")
    depth: int | None = None  # folders, its own counting as one, of which files are read; None: of any
    meaning: str = ""
    # Another channel and its content type, with which this one is required.
    required_with: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """What an algorithm can run on, as its page of the developer guide states it."""

    gpu: bool = True
    multi_gpu: bool = False
    multi_machine: bool = True
    incremental: bool = True
    memory: int = 100  # MiB that training takes before it has read any data, measured: below it is killed


class Stopping(Protocol):
    """An early-stopping rule, fed with one value a round; part of the checkpoint."""

    def update(self, value: float) -> Literal["best", "stale", "stop", "last"]: ...  # last: best, and stop
    def state_dict(self) -> dict[str, np.ndarray]: ...
    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None: ...


class Model(Protocol):
    """What training yields and a server loads. Immutable; `predict` may be called from several threads."""

    @property
    def width(self) -> int | None:
        """The number of features of the records that it takes; None: not a table's."""

    def predict(self, batch: Any, options: Mapping[str, str]) -> Columns:
        """Answer for every record of the batch, in order. `options` are the parameters of Accept
        (`verbose=true`) and of the request's `configuration`. Raises UserError for records it cannot take."""

    def save(self, folder: Path) -> None:
        """Write the artifact: safetensors and model.json, and AWS's own file where it has one."""


class Learner(Protocol):
    """The state that absorbs batches. Made by `Training.learner(Setting)`; collectives allowed. A job told to
    stop meanwhile ends there."""

    round: int | None  # updates between evaluations of validation channels; None: an epoch
    lockstep: bool  # True: `update` holds collectives, so exhausted hosts go on with None as their batch

    def update(self, batch: Any) -> Iterable[Metric]:
        """Absorb one batch; None on a host that has run out while others (lockstep) have not."""

    def end_round(self) -> Iterable[Metric]: ...

    def evaluate(self, channel: str, batches: Iterable[Any]) -> Iterable[Metric]:
        """Score a validation channel (each round, and after `finish` where the algorithm is
        `scored_on_validation`) or a test channel (after `finish`); collectives allowed."""

    def stopping(self) -> tuple[Stopping, str] | None:
        """The early-stopping rule and the name of the metric it watches; None: never stop early."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that a resumed job needs to go on as if undisturbed, random generators included."""

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None: ...

    def model(self) -> Model | None:
        """The model as of now, without changing the state (SIGTERM); None before there is any.
        Holds no collectives."""

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        """Once, after the last batch: shrink, index, fold, calibrate. Collectives allowed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a learner is handed."""

    hyperparameters: Any  # the algorithm's own Hyperparameters
    cluster: Cluster
    device: str = "cpu"  # or "cuda:0"
    seed: int = 0
    warm_start: Path | None = None  # the unpacked `model` channel of an incremental job
    channels: tuple[str, ...] = ("train",)  # those that the job was given
    tuned: str | None = None  # the metric that a tuning job goes by; None: it is part of none
    auxiliary: Mapping[str, Source] = field(default_factory=dict)  # given channels of that role, by name
    pretrained: Mapping[str, Path] = field(default_factory=dict)  # folders of weights: place -> folder
    store: Path | None = None  # a folder for what grows with the job; it lasts as long as checkpoints do
    train: Any = None  # the data of that channel (`Training.data`), which a learner may read when it is made
    tests: Mapping[str, Data] = field(default_factory=dict)  # what the final model will be scored on, by name
    # Was this host told to stop? For work of many seconds between two batches, which is then left; hosts
    # that hold collectives meanwhile must agree on it.
    stopped: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Run:
    """All that `Algorithm.fit` is handed, of a library that owns its loop."""

    setting: Setting
    data: Mapping[str, Table]  # the channels that were given, by name
    checkpoints: Path | None  # where checkpoints go and come from; None: none are wanted
    output: Path  # the folder of what is neither model nor log
    stopped: Callable[[], bool]  # was the job told to stop?
    report: Callable[[str], None]  # prints a line of the log as it is, for metric regexes
    publish: Callable[[Model], None]  # writes the model folder, whole; on the first host only


@dataclass(frozen=True, slots=True)
class Roles:
    """Which hyperparameters play the parts that the container asks about; None: none of them does."""

    epochs: str | None = None  # passes over the training data, at most; None: one pass; its value None: any
    updates: str | None = None  # batches, at most
    batch_size: str | None = None  # rows of a batch
    width: str | None = None  # features of a row
    seed: str | None = None  # overrides OPTML_SEED where it is given
    weighted: str | None = None  # 1: the column behind the label of a CSV is the weight of its row

    def value(self, role: str, hyperparameters: Any) -> Any:
        """What the job has for a role; None where no hyperparameter plays it."""
        name = getattr(self, role)
        return None if name is None else getattr(hyperparameters, name)


@dataclass(frozen=True, slots=True)
class Training:
    """How an algorithm learns: either a `learner`, driven by the container's loop, or `fit`, for a library
    that owns its own."""

    channels: tuple[ChannelSpec, ...]
    metrics: tuple[MetricSpec, ...]
    roles: Roles = Roles()
    learner: Callable[[Setting], Learner] | None = None
    fit: Callable[[Run], Model | None] | None = None  # None of it: stopped before there was a model to keep
    data: Callable[[Source, Setting], Data] | None = None  # of a channel; None: rows of a table
    batch_rows: Callable[[Any], int] | None = None  # of a batch, by hyperparameters; None: by their role
    prefetch: int = 0  # batches of channel train that `data` makes ahead, on a thread beside the learner
    sparse: bool = False  # True: the learner and the model take csr_array; False: they are handed dense rows
    missing: bool = False  # NaN among the features is a missing value; False: a mistake
    scored_on_validation: bool = False  # the final model is scored on the validation channels once more
    logged_as: str = ""  # the name of AWS's implementation in `#metrics` lines; "": the title
    printed: tuple[MetricSpec, ...] = ()  # further metrics in the log, which nobody can tune

    def channel(self, name: str) -> ChannelSpec | None:
        return next((spec for spec in self.channels if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class Inference:
    """How a model of an algorithm is loaded and asked."""

    content_types: tuple[str, ...]
    accepts: tuple[str, ...]  # the first is the answer to */* and to no Accept
    response: Response
    load: Callable[[Path, str], Model]  # (model folder, device); raises UserError saying what is wrong
    recognises: Callable[[Path], bool]  # is this folder an artifact of AWS's image of this algorithm?
    label_size: int | None = 0  # label columns that a CSV request has where it names none; None: never any
    missing: bool = False  # NaN among the features is a missing value; False: a mistake
    judges_width: bool = False  # the model says how many features a request must have, not the decoder
    refusals: tuple[int, int] = (400, 400)  # HTTP status of a body that does not parse, and of an empty one
    # (body, content type, model) -> batch; None: of a table. Raises UserError.
    decode: Callable[[bytes, ContentType, Any], Any] | None = None
    # Batches of several requests as one, where a GPU takes them together; None: tables alone are joined.
    join: Callable[[Sequence[Any]], Any] | None = None
    max_payload_mb: int = 6  # of a batch transform's payload
    follows_request: bool = False  # answers come in the request's content type, whatever Accept says,
    same_accept: bool = False  # or with 406 where it names another one
    encode: Callable[[Columns, str, Answer], Written | None] | None = None  # (.., media, ..) None: as others
    feature_names: Callable[[Any], Sequence[str] | None] | None = None  # of a model that goes by names
    answer_of_many: str | None = None  # what a server of many models answers to no Accept; None: as of one
    # What its models read of the environment: variable -> reader of its text, which raises UserError.
    variables: Mapping[str, Callable[[str], object]] = field(default_factory=dict)
    # (model, content type) -> a request of one record that the model can answer; None: a table's.
    sample: Callable[[Any, str], bytes] | None = None
    # Draws a batch (of a table: Records, with labels where there are some) as a model sees it, as a PNG;
    # returns what to say of it.
    picture: Callable[[Any, Any, Path], str] | None = None
    examples: Callable[[Source, Any], Any] | None = None  # (a channel, model) -> a batch to draw; None: rows


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A frozen description; `optml describe`, the codecs and the conformance check read it."""

    slug: str
    title: str
    task: str
    hyperparameters: type[Hyperparameters]
    training: Training
    inference: Inference
    compute: Compute = Compute()
    texts: Callable[[], Texts] | None = None  # how plain texts become its records and requests; None: never


def lazy(target: str) -> Callable[..., Any]:
    """The function that `module:name` names; the module is imported at the first call."""
    module, _, name = target.partition(":")

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), name)(*arguments)

    return call


def names(specs: Sequence[ChannelSpec] | Sequence[MetricSpec]) -> list[str]:
    return [spec.name for spec in specs]

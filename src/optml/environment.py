"""Every environment variable that the programs read: what `docs/environment.md` is made from.

Whoever reads a variable keeps its own parser; this table is what people look up, and a test holds it against
the code and against the page.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable, or several names of the same; `default` as text, "" for none."""

    names: tuple[str, ...]
    default: str
    meaning: str


TRAINING = (
    Variable(("OPTML_ALGORITHM",), "of the image", "the algorithm to train, in an image that holds several"),
    Variable(
        ("SAGEMAKER_BASE_DIR", "SAGEMAKER_DATA_PATH"), "/opt/ml", "the root of the tree; the first one wins"
    ),
    Variable(("OPTML_SEED",), "0", "the seed, where no hyperparameter gives one"),
    Variable(("OPTML_CHECKPOINT_SECONDS",), "60", "seconds between checkpoints, beside those after an epoch"),
    Variable(("OPTML_PIPE_TIMEOUT_S",), "1200", "seconds to wait for the writer of a FIFO"),
    Variable(("OPTML_PORT",), "7777", "the port at which the hosts of a job meet, on the first of them"),
    Variable(("OPTML_RENDEZVOUS_TIMEOUT_S",), "300", "seconds to wait for the other hosts"),
    Variable(
        ("OPTML_PEER_TIMEOUT_S",), "300", "seconds without a sign of life after which a host is given up"
    ),
    Variable(("OPTML_RCF_SHUFFLE",), "", "Random Cut Forest: 1 deals rows out to trees at random"),
    Variable(("OPTML_VOC07_METRIC",), "", "Object Detection: 1 makes the mAP of the log that of VOC07"),
    Variable(("OPTML_PRETRAINED_DIR",), "", "a folder of pretrained weights, where no channel gives some"),
    Variable(("OPTML_MAX_PIXELS",), "100000000", "pixels of an image; more are refused by its header"),
    Variable(("TRAINING_JOB_NAME",), "", "the name of the job, set by SageMaker"),
    Variable(
        ("OMP_NUM_THREADS",), "the CPUs at hand", "threads of a process, in every library that has some"
    ),
    Variable(("OMP_WAIT_POLICY",), "passive", "how OpenMP's threads wait; a value that is there stays"),
    Variable(("CUDA_VISIBLE_DEVICES",), "all", "the GPUs to use, as everywhere"),
)

SERVING = (
    Variable(("SAGEMAKER_BIND_TO_PORT",), "8080", "the port"),
    Variable(
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "MODEL_SERVER_WORKERS"),
        "one a CPU, as many as the memory holds, or one a GPU",
        "worker processes",
    ),
    Variable(
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "MODEL_SERVER_TIMEOUT"),
        "60; 3600 in a batch transform job",
        "seconds that a request may take",
    ),
    Variable(("MAX_CONTENT_LENGTH",), "134217728", "bytes of a request's body, also once inflated"),
    Variable(("OPTML_MAX_ANSWER_MB",), "256", "MiB of an answer; a request for more is refused with 413"),
    Variable(("OPTML_MAX_PIXELS",), "100000000", "pixels of an image; more are refused by its header"),
    Variable(
        ("OPTML_MAX_SIDE",),
        "",
        "pixels of a picture's longer side that Semantic Segmentation looks at; larger ones are made smaller "
        "for it, and answered in their size. Not set: they are cut into tiles",
    ),
    Variable(
        ("OPTML_STALL_TIMEOUT",), "30", "seconds that a request may stop coming, or an answer being taken"
    ),
    Variable(
        ("OPTML_REQUEST_MEMORY_MB",), "by the container", "MiB of one worker for what comes or goes slowly"
    ),
    Variable(("OPTML_MAX_QUEUE",), "64", "requests of one worker that may wait; more are answered with 503"),
    Variable(
        ("OPTML_MAX_BATCH_RECORDS",), "1024", "records that a GPU predicts at once, of several requests"
    ),
    Variable(("OPTML_MAX_BATCH_DELAY_MS",), "0", "milliseconds that a GPU waits for more requests"),
    Variable(("OPTML_BAD_RECORD",), "error", "null: a record that cannot be read is answered alone, not all"),
    Variable(("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",), "", "the content type of answers without Accept"),
    Variable(("SAGEMAKER_MULTI_MODEL",), "false", "true: a server of many models, loaded by request"),
    Variable(("OPTML_MME_MEMORY_MB",), "of the container", "MiB for the models of such a server"),
    Variable(("OPTML_ALGORITHM",), "told by the model", "the algorithm of an artifact that does not say"),
    Variable(("SAGEMAKER_CONTAINER_LOG_LEVEL",), "20", "10 debug, 20 info, 30 warning, 40 error"),
    Variable(("OPTML_SCORE_THRESHOLD",), "0.01", "Object Detection: the least score of an answer"),
    Variable(("DEEPAR_INFERENCE_CONFIG",), "", "DeepAR: the configuration of requests in a batch transform"),
    Variable(("SAGEMAKER_INFERENCE_OUTPUT",), "", "XGBoost: the columns of the answer, a list of names"),
    Variable(("SAGEMAKER_INFERENCE_ENSEMBLE",), "true", "XGBoost: false takes the first of several models"),
    Variable(
        ("OPTML_XGB_CSV_JOIN",), "", "XGBoost: comma joins a CSV answer in one line, as old versions did"
    ),
)

TRANSFORM = (
    Variable(("SAGEMAKER_BATCH",), "false", "true: this server answers a batch transform job"),
    Variable(("SAGEMAKER_BATCH_STRATEGY",), "MultiRecord", "MultiRecord or SingleRecord"),
    Variable(("SAGEMAKER_MAX_PAYLOAD_IN_MB",), "6", "MiB of a payload"),
    Variable(("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",), "as the server says", "payloads under way at once"),
)

CONTROL = (
    Variable(("OPTML_HOME",), "~/.optml", "where `optml up` keeps everything"),
    Variable(
        ("AWS_DEFAULT_REGION",), "us-east-1", "the region that `optml env` names to the programs it is for"
    ),
    Variable(("PYTHONPATH",), "", "kept behind the folder that `optml env` puts before it"),
)

HEAD = """# Environment variables

Ours begin with `OPTML_`; the others are SageMaker's or common ones. A value that makes no sense ends the
program at its start with a sentence. This page is made from `src/optml/environment.py`.
"""


def page() -> str:
    """The text of docs/environment.md."""
    parts = [HEAD]
    for title, variables in (
        ("Training", TRAINING),
        ("Serving", SERVING),
        ("Batch transform", TRANSFORM),
        ("Control plane", CONTROL),
    ):
        parts.append(f"\n## {title}\n| variable | default | meaning |\n| --- | --- | --- |\n")
        for variable in variables:
            named = ", ".join(f"`{name}`" for name in variable.names)
            parts.append(f"| {named} | {variable.default} | {variable.meaning} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")

"""AWS's SDK v3, ModelTrainer in local container mode, as a user's script. No network, no credentials.

Runs in a virtual environment of its own: IMAGE, then a folder that holds `train/` and gets the rest.
"""

import sys

from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData
from sagemaker.train.model_trainer import Mode

image, folder = sys.argv[1:]
trainer = ModelTrainer(
    training_image=image,
    training_mode=Mode.LOCAL_CONTAINER,
    compute=Compute(instance_type="local_cpu", instance_count=1),
    hyperparameters={"k": 3, "feature_dim": 4, "force_dense": True, "eval_metrics": ["msd"]},
    local_container_root=f"{folder}/job",
    base_job_name="kmeans",
    role="arn:aws:iam::111111111111:role/local",
)
train = InputData(channel_name="train", data_source=f"{folder}/train", content_type="text/csv;label_size=0")
trainer.train(input_data_config=[train])

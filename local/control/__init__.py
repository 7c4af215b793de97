"""The control plane: SageMaker's API on this machine, with what its clients need of other services of AWS."""

"""Tuning jobs: many training jobs, whose hyperparameters `optml.local.tuning` chooses."""

"""Linear Learner: linear models by stochastic gradients, many side by side."""

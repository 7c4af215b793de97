"""Automatic Model Tuning as a library: the state of a tuning job in, what to do next out.

Nothing here starts a process, keeps a file or knows a server. The state is the list of trials with the values
of their objective (`trials`); whoever runs the jobs keeps it and asks

- `request.read` for the tuning job that a CreateHyperParameterTuningJob request describes,
- `proposals.propose` for the hyperparameters of the next trials,
- `stopping.stops` at each new value whether a running trial should end,
- `completion.completion` whether the tuning job has come to its end.

All answers depend on their arguments alone, so a job that was killed goes on from what was kept. What takes
NumPy or torch is imported where it is used: a Bayesian proposal, and the table of an algorithm of ours. A
server that must stay small asks `python -m optml.local.tuning` for those two.
"""

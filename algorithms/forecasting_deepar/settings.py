"""The numbers of learning that are no hyperparameters: AWS's, and those of our additions to its model.

What each addition is for and gains: docs/algorithms/forecasting-deepar.md.
"""

from __future__ import annotations

# As AWS documents them.
FEWEST_OBSERVATIONS = 300  # of all training series together
BATCHES_OF_EPOCH = 10  # at least
LOG_EVERY = 5  # batches

# Updates.
CLIP_NORM = 10.0  # of the mean gradient
COOLDOWN = 0.5  # share of the epochs over which the learning rate falls to 0, at the end
PLATEAU = (
    10  # epochs without a better loss, at least, after which a job with patience halves the learning rate
)
EMA_RATE = 0.05  # of the exponential moving average of the parameters, by an update; the average is the model
EARLY_WEIGHT = 0.1  # in the loss, of a point that lacks a lag of the linear start
SLOW_FACTOR = 0.05  # of inputs whose values in a forecast lie beyond those of training
CONSTANT_DEVIATION = 1e-4  # relative to the mean: a dynamic_feat that varies less is not scaled up

# First weights.
UNIFORM_WEIGHT = 0.07  # largest of the layers, as MXNet begins, which AWS's image is built on
FIRST_DEVIATIONS = (0.05, 2.0)  # of the distribution, in scales: at least and at most

# The linear start: an autoregression on the lags, found by least squares.
FIT_POINTS = 100_000  # at most
RIDGE = 1e-4  # of the mean square of the inputs
ABSENT_LAG = 0.2  # of the points: a lag that lies before the beginning of more of them has no part in it
RARE_LAG = 0.02  # of the points: a lag that lies within the series of fewer of them is no input at all
WHITENING_FLOOR = 1e-3  # of the most variance: directions of the lags with less are hardly raised

# The unit of each layer that carries it: how much of its range that takes (tanh bends a value 2 scales above
# the mean by a seventh), how far its gates stand open or shut, and the least deviation to begin at.
CARRIER_UNIT = 0
CARRIER_RANGE = 0.25
CARRIER_GATE = 4.0
CARRIER_DEVIATION = 0.02
UNZONED_UNITS = slice(CARRIER_UNIT, CARRIER_UNIT + 1)  # zoneout spares them

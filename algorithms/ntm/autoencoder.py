"""The variational autoencoder: bags of words -> h ~ N(mu, sigma) -> the same bags of words.

Miao, Yu, Blunsom, "Neural Variational Inference for Text Processing", ICML 2016 (arXiv 1511.06038), with a
ReLU between h and the decoder, as AWS's image has it:

    pi = MLP(x)    mu = A pi + a    log sigma = C pi + c    h = mu + sigma eps,  eps ~ N(0, I)
    y = softmax(W relu(h) + b)
    loss of a document of N words = -(1/N) sum_v x_v log y_v
                                    + (1/N) 1/2 sum_k (mu_k^2 + sigma_k^2 - 1 - 2 log sigma_k)
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from optml.algorithms.kernels.bags import Bags
from optml.algorithms.kernels.bags.autograd import embed, likelihoods
from optml.algorithms.ntm.hyperparameters import Hyperparameters
from optml.algorithms.ntm.parameters import Parameters

Tensor = torch.Tensor

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


class Normalization(torch.nn.Module):
    """Batch normalisation without scale and offset; a batch of one document has the running statistics."""

    EPSILON = 1e-5
    MOMENTUM = 0.1

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, values: Tensor) -> Tensor:
        batch = self.training and len(values) > 1
        return torch.nn.functional.batch_norm(
            values, self.mean, self.variance, training=batch, momentum=self.MOMENTUM, eps=self.EPSILON
        )


class Autoencoder(torch.nn.Module):
    """Weights start by Xavier's uniform rule, biases at 0.

    sparse: the gradient of `words`, (v, first layer), holds only the rows of words that occur.
    """

    def __init__(self, hyperparameters: Hyperparameters, *, sparse: bool) -> None:
        super().__init__()
        sizes, topics = hyperparameters.layers, hyperparameters.num_topics
        self.words = torch.nn.Parameter(torch.empty(hyperparameters.feature_dim, sizes[0]))
        self.bias = torch.nn.Parameter(torch.zeros(sizes[0]))
        self.layers = torch.nn.ModuleList(torch.nn.Linear(before, after) for before, after in pairwise(sizes))
        self.mu = torch.nn.Linear(sizes[-1], topics)
        self.logsigma = torch.nn.Linear(sizes[-1], topics)
        self.projection = torch.nn.Linear(topics, hyperparameters.feature_dim)
        widths = (*sizes, topics, topics) if hyperparameters.batch_norm else ()
        self.normalizations = torch.nn.ModuleList(map(Normalization, widths))
        self._activation = ACTIVATIONS[hyperparameters.encoder_layers_activation]
        self._name = hyperparameters.encoder_layers_activation
        self._sparse = sparse
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
            else:
                torch.nn.init.xavier_uniform_(parameter)

    def encode(self, bags: Bags) -> tuple[Tensor, Tensor]:
        """mu and log sigma, (n, topics)."""
        pi = embed(bags, self.words, sparse=self._sparse) + self.bias
        pi = self._activation(self._normalized(0, pi))
        for place, layer in enumerate(self.layers, 1):
            pi = self._activation(self._normalized(place, layer(pi)))
        return self._normalized(-2, self.mu(pi)), self._normalized(-1, self.logsigma(pi))

    def losses(self, bags: Bags, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction error and divergence (n,) of each document, a word; noise (n, topics) is eps."""
        mu, logsigma = self.encode(bags)
        sigma = logsigma.exp()
        latent = torch.relu(mu + sigma * noise)
        lengths = torch.as_tensor(bags.lengths)
        likelihood = likelihoods(bags, latent, self.projection.weight, self.projection.bias)
        divergence = 0.5 * (mu.square() + sigma.square() - 1 - 2 * logsigma).sum(1)
        return -likelihood / lengths, divergence / lengths

    def parameters_of_model(self) -> Parameters:
        """What a model needs, on the host; the running statistics become part of weights and biases."""
        layers: list[tuple[Tensor, Tensor]] = [(self.words.T, self.bias)]
        for layer in (*self.layers, self.mu, self.logsigma):
            assert isinstance(layer, torch.nn.Linear)
            layers.append((layer.weight, layer.bias))
        folded = []
        for place, (weight, bias) in enumerate(layers):
            if self.normalizations:
                statistics = self.normalizations[place]
                assert isinstance(statistics, Normalization)
                scale = (statistics.variance + Normalization.EPSILON).rsqrt()
                weight, bias = weight * scale[:, None], (bias - statistics.mean) * scale
            folded.append((_array(weight), _array(bias)))
        *encoder, mu, logsigma = folded
        projection = _array(self.projection.weight), _array(self.projection.bias)
        return Parameters(tuple(encoder), mu, logsigma, projection, self._name)

    def _normalized(self, place: int, values: Tensor) -> Tensor:
        outputs: Tensor = self.normalizations[place](values) if self.normalizations else values
        return outputs


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), order="C")

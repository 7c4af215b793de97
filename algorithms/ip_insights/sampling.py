"""Observed pairs with the made-up ones that they are told from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 2_000_000  # samples that are made together, about


@dataclass(frozen=True, slots=True)
class Samples:
    """rows: (n,) uint32 of the entity table.   addresses: (n,) uint32.   labels: (n,) float32, 1 observed.
    teaching: (n,) bool, samples that the vectors of short prefixes learn from."""

    rows: np.ndarray
    addresses: np.ndarray
    labels: np.ndarray
    teaching: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Samples:
        return Samples(self.rows[part], self.addresses[part], self.labels[part], self.teaching[part])


def expand(
    rows: np.ndarray, addresses: np.ndarray, random_rate: int, shuffled_rate: int, seed: tuple[int, ...]
) -> Samples:
    """The n pairs, n * random_rate with a random address, and n * shuffled_rate with the address of another
    pair, all shuffled.

    An octet of a random address is uniform in 0..255. Each shuffled copy permutes the addresses anew; what
    happens to be an observed pair stays. The same arguments give the same samples.

    Pairs with random addresses teach no short prefixes, unless they outnumber the shuffled ones. Told from
    addresses that nobody has, a large network learns how popular it is, which says nothing of an entity. In
    shuffled pairs each address is as frequent as in the observed ones: popularity is no help there.
    """
    generator = np.random.default_rng(seed)
    n = len(rows)
    copies = [addresses, generator.integers(0, 1 << 32, n * random_rate, np.uint32)]
    copies += [generator.permutation(addresses) for _ in range(shuffled_rate)]
    order = np.arange(n * (1 + random_rate + shuffled_rate), dtype=np.int32)
    generator.shuffle(order)
    random = (order >= n) & (order < n * (1 + random_rate))
    teaching = ~random if random_rate <= shuffled_rate else np.ones(len(order), bool)
    every = np.concatenate(copies)
    return Samples(rows[order % np.int32(n)], every[order], (order < n).astype(np.float32), teaching)

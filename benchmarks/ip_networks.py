"""The pairs of AWS's tutorial: users who log in from home, from work, and on travels.

AWS's file of 827,696 real networks is not at hand; the list is made up: ranges of 2^5 to 2^16 addresses,
the smaller the more frequent, spread over 1.0.0.0 to 223.255.255.255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST, LAST = 1 << 24, 224 << 24  # addresses, the last one not among them
NETWORKS = 800_000
SIZES = 2 ** np.arange(5, 17)
MOST_EVENTS = 10_000


@dataclass(frozen=True)
class Networks:
    """starts, sizes: (m,) int64."""

    starts: np.ndarray
    sizes: np.ndarray

    @classmethod
    def made_up(cls, seed: int = 0) -> Networks:
        """Sizes drawn by 1 / sqrt(size). As so many ranges of such sizes fill a third of the addresses, each
        is followed by a gap in proportion."""
        generator = np.random.default_rng(seed)
        chance = SIZES**-0.5
        sizes = generator.choice(SIZES, NETWORKS, p=chance / chance.sum()).astype(np.int64)
        starts = FIRST + (np.cumsum(sizes) - sizes) * (LAST - FIRST) // sizes.sum()
        return cls(starts, sizes)

    def addresses(self, network: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """An address (n,) uint32, uniform in each of the networks (n,)."""
        offset = (generator.random(len(network)) * self.sizes[network]).astype(np.int64)
        return (self.starts[network] + offset).astype(np.uint32)


@dataclass(frozen=True)
class Events:
    """users: (n,) int64.   addresses: (n,) uint32; in the order of time."""

    users: np.ndarray
    addresses: np.ndarray

    def __getitem__(self, part: slice | np.ndarray) -> Events:
        return Events(self.users[part], self.addresses[part])

    def __len__(self) -> int:
        return len(self.users)

    def csv(self) -> bytes:
        octets = (self.addresses[:, None] >> np.array([24, 16, 8, 0], np.uint32)) & np.uint32(255)
        rows = zip(self.users.tolist(), octets.tolist(), strict=True)
        return "".join(f"user_{user},{a}.{b}.{c}.{d}\n" for user, (a, b, c, d) in rows).encode()


def events(networks: Networks, users: int = 10_000, seed: int = 1) -> Events:
    """50 (Pareto(1) + 1) events a user, capped; a share Beta(1, 30) of them from any network, the others
    from about home (a share of Beta(3, 5)) or about work, which is within 50,000 networks of home."""
    generator = np.random.default_rng(seed)
    count = len(networks.starts)
    home = generator.integers(0, count, users)
    work = np.clip(home + generator.integers(-50_000, 50_001, users), 0, count - 1)
    travels, at_home = generator.beta(1, 30, users), generator.beta(3, 5, users)
    number = np.minimum(50 * (generator.pareto(1, users) + 1), MOST_EVENTS).astype(np.int64)
    user = np.repeat(np.arange(users), number)
    n = len(user)
    centre = np.where(generator.random(n) < at_home[user], home[user], work[user])
    near = np.clip(np.rint(generator.normal(centre, 10)).astype(np.int64), 0, count - 1)
    network = np.where(generator.random(n) < travels[user], generator.integers(0, count, n), near)
    return Events(user, networks.addresses(network, generator))[generator.permutation(n)]

"""One table learnt by several threads, with the same result every time.

Threads that write to one table as they come (Hogwild) leave a model that no run repeats. Here each works, for
a while, on rows of its own: a row is copied when it is first touched. Then the copies are merged, row by row
and in the order of the threads. With d_i = copy - row of the m threads that touched it, into

    row + s * sum of d_i,   s = 1 - c * (1 - (1 - r^m) / (m (1 - r)))

c is the part of |sum of d_i|^2 that the threads have in common, (1 - sum of |d_i|^2 / |sum of d_i|^2) * m /
(m - 1): 0 where they went different ways, whose steps add up as if they had been taken one after another; 1
where all took the same way. Of that way a thread's steps left the part r, exp(-strength), strength the sum
over them of learning rate times curvature: p (1 - p) for a logistic loss. Where r is nearly all (a rare row)
the steps add up too; where it is nothing all have arrived, and the copies are averaged. r^m is what m
threads' steps would have left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int32, int64, types, void

from optml.algorithms.kernels.machine.simd import (
    LANES,
    add_up,
    compiled,
    empty,
    fill,
    load,
    multiply_add,
    store,
    zero,
)
from optml.algorithms.kernels.machine.threads import in_parts

table_type = types.Array(float32, 2, "C")
slots_type = types.Array(int32, 1, "C")
strength_type = types.Array(float32, 1, "C")
used_type = types.Array(int64, 1, "C")
# What a compiled loop is handed for one table: the table, this thread's copies, the place of each row's copy
# (-1: there is none), the strength at each place, and how many places are taken.
view_type = types.Tuple(  # type: ignore[no-untyped-call]
    (table_type, table_type, slots_type, strength_type, used_type)
)


class Replicas:
    """The copies that `threads` keep of the rows of a table (rows, stride); for one thread there are none: it
    works on the table itself.

    Memory that no row was copied to is never touched, so the system never has to find it.
    """

    def __init__(self, table: np.ndarray, threads: int) -> None:
        rows, width = table.shape
        copies = threads if threads > 1 else 0
        self.table = table
        self._rows = empty(copies * rows, width).reshape(copies, rows, width)
        self._slots = np.full((copies, rows), -1, np.int32)
        self._strength = np.empty((copies, rows), np.float32)
        self._counts = np.zeros((max(copies, 1), 1), np.int64)

    def view(self, thread: int) -> tuple[Any, ...]:
        """What a thread's loop is handed (`view_type`)."""
        if not len(self._rows):
            return self.table, self.table, np.empty(0, np.int32), np.empty(0, np.float32), self._counts[0]
        return (
            self.table, self._rows[thread], self._slots[thread], self._strength[thread], self._counts[thread]
        )  # fmt: skip

    def merge(self) -> None:
        """Merge the copies of all threads into the table, and forget them."""
        if len(self._rows):
            in_parts(self._merge, len(self.table), self.table.shape[1] * len(self._rows))
            self._counts[:] = 0

    def _merge(self, start: int, stop: int) -> None:
        _merge(self.table, self._rows, self._slots, self._strength, start, stop)


@compiled([int64(table_type, table_type, slots_type, strength_type, used_type, int64)], inline=True)
def claim(table, rows, slots, strength, count, row):  # type: ignore[no-untyped-def]
    """The place of a row among this thread's copies, made now if need be; itself where there are none."""
    if len(slots) == 0:
        return row
    slot = int64(slots[row])
    if slot < 0:
        slot = count[0]
        count[0] = slot + 1
        slots[row] = slot
        strength[slot] = 0.0
        lines = table.shape[1] // LANES
        for line in range(lines):
            store(rows, slot * lines + line, load(table, row * lines + line))
    return slot


@compiled([float32(float32, int64)], inline=True)
def share(strength, copies):  # type: ignore[no-untyped-def]
    """(1 - r^m) / (m (1 - r)) of the module's formula, for m copies of that mean strength."""
    left = np.exp(-strength)
    if left > np.float32(0.9999):
        return np.float32(1)
    return np.float32((1 - left**copies) / (copies * (1 - left)))


@compiled([float32(float32, float32, int64)], inline=True)
def alike(whole, parts, copies):  # type: ignore[no-untyped-def]
    """c of the module's formula. whole: the square of the sum of the changes; parts: the sum of theirs."""
    if whole <= parts:
        return np.float32(0)
    return np.float32(min((1 - parts / whole) * copies / (copies - 1), 1.0))


@compiled(
    [
        void(
            table_type,
            types.Array(float32, 3, "C"),
            types.Array(int32, 2, "C"),
            types.Array(float32, 2, "C"),
            int64,
            int64,
        )
    ]
)
def _merge(table, rows, slots, strength, start, stop):  # type: ignore[no-untyped-def]
    threads, width = rows.shape[0], table.shape[1]
    lines = width // LANES
    copies, places = rows.reshape(-1, width), rows.shape[1] * lines
    for row in range(start, stop):
        owners = 0
        total = np.float32(0)
        last = 0
        for thread in range(threads):
            slot = slots[thread, row]
            if slot >= 0:
                owners += 1
                total += strength[thread, slot]
                last = thread
        if owners == 0:
            continue
        if owners == 1:
            slot = slots[last, row]
            slots[last, row] = -1
            for j in range(width):
                table[row, j] = rows[last, slot, j]
            continue
        whole, parts = zero(), zero()
        for line in range(lines):
            before = load(table, row * lines + line)
            sum_of_changes = zero()
            for thread in range(threads):
                slot = int64(slots[thread, row])
                if slot >= 0:
                    at = thread * places + slot * lines + line
                    change = multiply_add(fill(np.float32(-1)), before, load(copies, at))
                    sum_of_changes = multiply_add(fill(np.float32(1)), change, sum_of_changes)
                    parts = multiply_add(change, change, parts)
            whole = multiply_add(sum_of_changes, sum_of_changes, whole)
        common = alike(add_up(whole), add_up(parts), owners)
        scale = np.float32(1) - common * (np.float32(1) - share(total / np.float32(owners), owners))
        own = np.float32(1) - scale * np.float32(owners)
        for j in range(width):
            table[row, j] *= own
        for thread in range(threads):
            slot = slots[thread, row]
            if slot >= 0:
                slots[thread, row] = -1
                for j in range(width):
                    table[row, j] += scale * rows[thread, slot, j]

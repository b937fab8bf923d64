"""Random weights, a tensor at a time: each depends on seed and name only.

So every file of a shape holds the same numbers, whatever its format, and no more than one tensor is
in memory. Values are normal with deviation 0.02 (0.02 times -1, 0 or 1 for ternary matrices), norms
are near 1.
"""

import zlib

import numpy as np

DEVIATION = 0.02
ROWS = 4096  # of a large matrix that are made at once


def row_blocks(name, rows, columns, seed, ternary=False):
    """Yields the f32 matrix [rows, columns] of that name in blocks of rows."""
    source = np.random.default_rng([seed, zlib.crc32(name.encode())])
    for first in range(0, rows, ROWS):
        count = min(ROWS, rows - first)
        if ternary:
            digits = source.integers(-1, 2, size=(count, columns), dtype=np.int8)
            yield digits.astype(np.float32) * np.float32(DEVIATION)
        else:
            block = source.standard_normal((count, columns), dtype=np.float32)
            block *= np.float32(DEVIATION)
            yield block


def matrix(name, rows, columns, seed, ternary=False):
    """The same whole."""
    return np.concatenate(list(row_blocks(name, rows, columns, seed, ternary)))


def vector(name, size, seed, around):
    """f32 [size]: `around` plus noise."""
    source = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = source.standard_normal(size, dtype=np.float32) * np.float32(DEVIATION)
    return np.float32(around) + noise

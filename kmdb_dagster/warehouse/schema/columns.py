"""Types of columns that are held in memory as arrays."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

IntColumn: TypeAlias = NDArray[np.int64]
"""Whole numbers, one element a row: ids, line numbers, seconds."""

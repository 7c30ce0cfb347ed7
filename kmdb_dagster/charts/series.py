"""One value over time: what the charts of the import report draw."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Series(NamedTuple):
    """A value for each moment, in ascending order of time.

    ``at`` is UTC, dtype ``datetime64[s]`` or ``datetime64[D]``; ``value`` is numeric; both have shape (n,).
    """

    at: NDArray[np.datetime64]
    value: NDArray[Any]

"""What others judge canaries by, on the same counts: alarms by episode and look.

Not a benchmark itself. Normal approximations of the tests; all one-sided at 1 %.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Alarms = npt.NDArray[np.bool_]
Rival = Callable[[Any], Alarms]

_Z: Final = 2.3263478740408408  # the 99 % quantile of the standard normal distribution
_FAILURES: Final = 5
_LEAST_SUCCESS: Final = 0.99
_ONE_LOOK: Final = 30


def threshold(counts: Any) -> Alarms:  # noqa: ANN401 - the counts of the benchmark
    """Alarm at the fifth minute in which less than 99 % of the canary's requests succeed."""
    a, x = counts.a.sum(-1), counts.x.sum(-1)
    failed = (a > 0) & (x > (1 - _LEAST_SUCCESS) * a)
    return np.asarray(np.cumsum(failed, axis=1) >= _FAILURES)


def repeated_z(counts: Any) -> Alarms:  # noqa: ANN401
    """Alarm whenever the z-test of all counts so far is significant."""
    a, x, b, y = (np.cumsum(each.sum(-1), axis=1) for each in counts)
    pooled = (x + y) / np.maximum(a + b, 1)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(a, 1) + 1 / np.maximum(b, 1)))
    apart = x / np.maximum(a, 1) - y / np.maximum(b, 1)
    return np.asarray((spread > 0) & (apart > _Z * spread))


def one_look_mann_whitney(counts: Any) -> Alarms:  # noqa: ANN401
    """Alarm at minute 30 if the minutes' error rates differ so far."""
    alarms = np.zeros(counts.a.shape[:2], dtype=bool)
    alarms[:, _ONE_LOOK - 1] = _mann_whitney(*_rates(counts), _ONE_LOOK) > _Z
    return alarms


def repeated_mann_whitney(counts: Any) -> Alarms:  # noqa: ANN401
    """Alarm whenever the minutes' error rates so far differ, from the fifth minute on."""
    ours, theirs = _rates(counts)
    alarms = np.zeros(ours.shape, dtype=bool)
    for looks in range(5, ours.shape[1] + 1):
        alarms[:, looks - 1] = _mann_whitney(ours, theirs, looks) > _Z
    return alarms


def _rates(counts: Any) -> tuple[Array, Array]:  # noqa: ANN401
    a, x, b, y = (each.sum(-1) for each in counts)
    return x / np.maximum(a, 1), y / np.maximum(b, 1)


def _mann_whitney(ours: Array, theirs: Array, looks: int) -> Array:
    """Return the z value of the rank sum of one arm's first minutes, with ties."""
    both = np.concatenate([ours[:, :looks], theirs[:, :looks]], axis=1)
    ordered = np.sort(both, axis=1)
    many = 2 * looks
    z = np.zeros(len(both))
    for episode, (values, line) in enumerate(zip(both, ordered, strict=True)):
        low = np.searchsorted(line, values[:looks], side="left")
        high = np.searchsorted(line, values[:looks], side="right")
        wins = ((low + high + 1) / 2).sum() - looks * (looks + 1) / 2
        _, ties = np.unique(line, return_counts=True)
        tied = (ties**3 - ties).sum() / (many * (many - 1))
        variance = looks * looks / 12 * (many + 1 - tied)
        if variance > 0:
            z[episode] = (wins - looks * looks / 2) / math.sqrt(variance)
    return z


RIVALS: Final[dict[str, Rival]] = {
    "fixed threshold": threshold,
    "z each minute": repeated_z,
    "Mann-Whitney once": one_look_mann_whitney,
    "each minute": repeated_mann_whitney,
}

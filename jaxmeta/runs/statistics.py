"""Statistics of returns over seeds and tasks, after Agarwal et al. 2021."""

import numpy as np


def interquartile_mean(x: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Mean of the middle half of the values along ``axis`` (all axes by default), as in Agarwal et al. 2021.

    A quarter of the values, rounded down, is dropped at each end. It is NaN where any of the values is.
    """
    x = np.asarray(x, dtype=np.float64)
    axes = tuple(range(x.ndim)) if axis is None else ((axis,) if isinstance(axis, int) else axis)
    x = np.moveaxis(x, axes, range(len(axes)))
    x = np.sort(x.reshape(-1, *x.shape[len(axes) :]), axis=0)
    dropped = x.shape[0] // 4
    # NaN is sorted to the upper end, and would be dropped as the best of all.
    return np.where(np.isnan(x[-1]), np.nan, x[dropped : x.shape[0] - dropped].mean(axis=0))


def bootstrap_interval(
    returns: np.ndarray, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the interquartile mean over seeds and tasks.

    Seeds are drawn with replacement, and so are tasks, both as wholes: the interval speaks of new seeds and new tasks,
    and keeps what the returns of one seed have in common.

    Args:
      returns: ``[S, N, ...]``.
      level: coverage in (0, 1).
      resamples: bootstrap samples.
      seed: of the resampling.

    Returns:
      The lower and the upper end, each ``[...]``.
    """
    returns = np.asarray(returns)
    generator = np.random.default_rng(seed)
    seeds, tasks = returns.shape[:2]
    drawn = lambda count: generator.integers(count, size=count)  # noqa: E731
    samples = [interquartile_mean(returns[drawn(seeds)][:, drawn(tasks)], axis=(0, 1)) for _ in range(resamples)]
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(samples, [tail, 100.0 - tail], axis=0)
    return low, high


def probability_of_improvement(
    first: np.ndarray, second: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """How often a return of ``first`` is above one of ``second`` in the same task, ties half, with a 95 % interval.

    The mean over tasks of the probability that a seed of one is above a seed of the other (Agarwal et al. 2021). For
    the interval, seeds of each and tasks are drawn with replacement, all as wholes.

    Args:
      first: returns of a run, ``[S, N]``.
      second: of another on the same tasks, ``[S', N]``.
      resamples: bootstrap samples.
      seed: of the resampling.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"second: has {second.shape[1]} tasks; must have the {first.shape[1]} of the other")
    above = np.sign(first[:, None] - second[None]) / 2 + 0.5
    generator = np.random.default_rng(seed)
    drawn = lambda count: generator.integers(count, size=count)  # noqa: E731
    one, two, tasks = above.shape
    samples = [above[drawn(one)][:, drawn(two)][:, :, drawn(tasks)].mean() for _ in range(resamples)]
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(above.mean()), float(low), float(high)


def profile(returns: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The share of seeds and tasks with a return above each level: a performance profile (Agarwal et al. 2021).

    A return that is NaN is above none.

    Args:
      returns: ``[S, N]``.
      levels: ``[L]``.

    Returns:
      Shares in [0, 1], ``[L]``.
    """
    returns = np.ravel(returns)
    ordered = np.sort(returns[~np.isnan(returns)])
    return (len(ordered) - np.searchsorted(ordered, levels, side="right")) / len(returns)

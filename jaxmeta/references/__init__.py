"""Exact and Bayes-optimal answers to measure learners against."""

from jaxmeta.references.gridnavi import bayes_optimal as gridnavi_bayes_optimal
from jaxmeta.references.mazes import optimal_values
from jaxmeta.references.navigation import optimal_return as navigation_optimum
from jaxmeta.references.point_robots import dense_optimum, indicator_optimum, smallest_distances, sparse_optimum

__all__ = [
    "dense_optimum",
    "gridnavi_bayes_optimal",
    "indicator_optimum",
    "navigation_optimum",
    "optimal_values",
    "smallest_distances",
    "sparse_optimum",
]

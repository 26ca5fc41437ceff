"""Exact and Bayes-optimal answers to measure learners against."""

from jaxmeta.references.navigation import optimal_return as navigation_optimum

__all__ = ["navigation_optimum"]

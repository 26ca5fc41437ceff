"""Figures; each function returns one."""

from jaxmeta.plots.curves import *  # noqa: F403

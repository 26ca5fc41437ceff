"""One file a paper: composition, defaults and citation."""

from jaxmeta.algorithms.compose import compose
from jaxmeta.algorithms.maml import fomaml, maml

__all__ = ["compose", "fomaml", "maml"]

"""One file a paper: composition, defaults and citation.

A method that extends another one has its settings, too, and describes only those that differ. A setting out of its
range is refused with a ``ValueError`` that names it.
"""

import jaxmeta.types  # noqa: F401  # First: it imports gymnax without plotting packages.
from jaxmeta.algorithms.anil import anil as anil
from jaxmeta.algorithms.baselines import from_scratch as from_scratch, multi_task as multi_task, oracle as oracle
from jaxmeta.algorithms.cavia import cavia as cavia
from jaxmeta.algorithms.compose import compose as compose
from jaxmeta.algorithms.constrained import maml_lagrangian as maml_lagrangian, rl2_lagrangian as rl2_lagrangian
from jaxmeta.algorithms.e_maml import e_maml as e_maml
from jaxmeta.algorithms.es_maml import es_maml as es_maml
from jaxmeta.algorithms.grbal import grbal as grbal, rebal as rebal
from jaxmeta.algorithms.hyperx import hyperx as hyperx
from jaxmeta.algorithms.imaml import imaml as imaml
from jaxmeta.algorithms.learned_rule import learned_rule as learned_rule
from jaxmeta.algorithms.maml import (
    fomaml as fomaml,
    maml as maml,
    maml_ppo as maml_ppo,
    maml_vpg as maml_vpg,
    trpo_maml as trpo_maml,
)
from jaxmeta.algorithms.maml_q import maml_q as maml_q
from jaxmeta.algorithms.mb_mpo import mb_mpo as mb_mpo
from jaxmeta.algorithms.meta_sgd import meta_sgd as meta_sgd
from jaxmeta.algorithms.model_maml import model_maml as model_maml
from jaxmeta.algorithms.mql import mql as mql
from jaxmeta.algorithms.pearl import pearl as pearl
from jaxmeta.algorithms.promp import promp as promp
from jaxmeta.algorithms.r2d2 import r2d2 as r2d2
from jaxmeta.algorithms.reptile import reptile as reptile
from jaxmeta.algorithms.rl2 import rl2 as rl2
from jaxmeta.algorithms.varibad import varibad as varibad

"""One file a paper: composition, defaults and citation."""

from jaxmeta.algorithms.anil import anil
from jaxmeta.algorithms.baselines import from_scratch, multi_task, oracle
from jaxmeta.algorithms.cavia import cavia
from jaxmeta.algorithms.compose import compose
from jaxmeta.algorithms.e_maml import e_maml
from jaxmeta.algorithms.es_maml import es_maml
from jaxmeta.algorithms.grbal import grbal, plan_online, rebal
from jaxmeta.algorithms.hyperx import hyperx
from jaxmeta.algorithms.imaml import imaml
from jaxmeta.algorithms.learned_rule import learned_rule
from jaxmeta.algorithms.maml import fomaml, maml, maml_ppo, maml_vpg, trpo_maml
from jaxmeta.algorithms.maml_q import maml_q
from jaxmeta.algorithms.mb_mpo import mb_mpo
from jaxmeta.algorithms.meta_sgd import meta_sgd
from jaxmeta.algorithms.model_maml import model_maml
from jaxmeta.algorithms.mql import mql
from jaxmeta.algorithms.pearl import pearl
from jaxmeta.algorithms.promp import promp
from jaxmeta.algorithms.r2d2 import r2d2
from jaxmeta.algorithms.reptile import reptile
from jaxmeta.algorithms.rl2 import rl2
from jaxmeta.algorithms.varibad import Exploration, varibad

__all__ = [
    "Exploration",
    "anil",
    "cavia",
    "compose",
    "e_maml",
    "es_maml",
    "fomaml",
    "from_scratch",
    "grbal",
    "hyperx",
    "imaml",
    "learned_rule",
    "maml",
    "maml_ppo",
    "maml_q",
    "maml_vpg",
    "mb_mpo",
    "meta_sgd",
    "model_maml",
    "mql",
    "multi_task",
    "oracle",
    "pearl",
    "plan_online",
    "promp",
    "r2d2",
    "rebal",
    "reptile",
    "rl2",
    "trpo_maml",
    "varibad",
]

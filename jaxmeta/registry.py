"""What there is by name: methods, families of tasks, and the factories that fill parts. Nothing heavy is imported.

One row each. A package adds rows by an entry point of the group ``jaxmeta`` (a function that is called without
arguments and registers), a script by ``--import FILE``, a notebook by calling ``method``, ``family`` or
``part_factory``.
"""

import difflib
import functools
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple


class RegistryError(ValueError):
    """A name that nobody registered, or that is taken."""


class Row(NamedTuple):
    """One method, family or factory.

    Attributes:
      target: ``module:function``, imported when it is first asked for; or the function itself.
      summary: one line.
    """

    target: str | Callable[..., Any]
    summary: str = ""


def _rows(room: str, table: dict[str, tuple[str, ...]]) -> dict[str, Row]:
    return {name: Row(f"jaxmeta.{room}.{target}", *summary) for name, (target, *summary) in table.items()}


METHODS = _rows(
    "algorithms",
    {
        "anil": ("anil:anil", "MAML that adapts the network's head only (Raghu et al. 2020)"),
        "cavia": ("cavia:cavia", "MAML that adapts a context input only (Zintgraf et al. 2019)"),
        "e-maml": ("e_maml:e_maml", "MAML with credit for exploration (Stadie et al. 2018)"),
        "es-maml": ("es_maml:es_maml", "MAML by evolution strategies (Song et al. 2020)"),
        "fomaml": ("maml:fomaml", "first-order MAML (Finn et al. 2017)"),
        "from-scratch": ("baselines:from_scratch", "no meta-training: a baseline"),
        "grbal": ("grbal:grbal", "planning, its model adapted by gradients (Nagabandi et al. 2019)"),
        "hyperx": ("hyperx:hyperx", "VariBAD with exploration bonuses (Zintgraf et al. 2021)"),
        "imaml": ("imaml:imaml", "MAML by implicit gradients (Rajeswaran et al. 2019)"),
        "learned-rule": ("learned_rule:learned_rule", "MAML with a learned update rule"),
        "maml": ("maml:maml", "model-agnostic meta-learning (Finn et al. 2017)"),
        "maml-lagrangian": ("constrained:maml_lagrangian", "MAML that keeps costs to a limit (Tessler et al. 2019)"),
        "maml-ppo": ("maml:maml_ppo", "MAML with a clipped outer loss"),
        "maml-q": ("maml_q:maml_q", "MAML of action values, with replay"),
        "maml-vpg": ("maml:maml_vpg", "MAML with biased score-function losses"),
        "mb-mpo": ("mb_mpo:mb_mpo", "MAML across an ensemble of models (Clavera et al. 2018)"),
        "meta-sgd": ("meta_sgd:meta_sgd", "MAML with learned step sizes (Li et al. 2017)"),
        "model-maml": ("model_maml:model_maml", "MAML with a model that adapts to each task"),
        "mql": ("mql:mql", "meta-Q-learning (Fakoor et al. 2020)"),
        "multi-task": ("baselines:multi_task", "one policy that never adapts: a baseline"),
        "oracle": ("baselines:oracle", "one policy that is told the task: an upper bound"),
        "pearl": ("pearl:pearl", "soft actor-critic told an inferred latent (Rakelly et al. 2019)"),
        "promp": ("promp:promp", "proximal meta-policy search (Rothfuss et al. 2019)"),
        "r2d2": ("r2d2:r2d2", "recurrent Q-learning with replay (Kapturowski et al. 2019)"),
        "rebal": ("grbal:rebal", "planning with a recurrent model (Nagabandi et al. 2019)"),
        "reptile": ("reptile:reptile", "towards adapted weights (Nichol et al. 2018)"),
        "rl2": ("rl2:rl2", "a recurrent policy that learns by acting (Duan et al. 2016)"),
        "rl2-lagrangian": ("constrained:rl2_lagrangian", "RL² that keeps costs to a limit (Tessler et al. 2019)"),
        "trpo-maml": ("maml:trpo_maml", "MAML with a trust region (Finn et al. 2017)"),
        "varibad": ("varibad:varibad", "a policy told a learned posterior (Zintgraf et al. 2020)"),
    },
)
FAMILIES = _rows(
    "tasks",
    {
        "acrobot": ("classic_control:acrobot", "two links with lengths, masses and torque of their own"),
        "bernoulli-bandit": ("bandits:bernoulli_bandit", "arms that pay 0 or 1 (Duan et al. 2016)"),
        "cartpole": ("classic_control:cartpole", "a pole with masses, length, force and gravity of its own"),
        "contextual-bandit": ("bandits:contextual_bandit", "arms whose probabilities depend on a context"),
        "dark-key-to-door": ("memory:dark_key_to_door", "find an unseen key, then its door (Laskin et al. 2022)"),
        "dependent-bandit": ("bandits:dependent_bandit", "two arms that pay with p and 1 − p (Wang et al. 2016)"),
        "dorfman-semicircle": (
            "point_robots:dorfman_semicircle",
            "a goal on a half circle, reward near it (Dorfman et al. 2021)",
        ),
        "four-rooms": ("mazes:four_rooms", "one of 103 goal cells in four rooms"),
        "frozen-lake": ("frozen_lake:frozen_lake", "a random map with holes"),
        "gaussian-bandit": ("bandits:gaussian_bandit", "arms with normal rewards"),
        "glucose": ("medicine:glucose", "insulin for a patient with diabetes (Bergman et al. 1981)"),
        "gridnavi": ("grids:gridnavi", "an unseen goal cell on a 5 x 5 grid (Zintgraf et al. 2020)"),
        "informative-bandit": (
            "bandits:informative_bandit",
            "one of ten arms pays; an eleventh tells which (Wang et al. 2016)",
        ),
        "lane-keeping": ("driving:lane_keeping", "a car with load, grip and steering of its own (Rajamani 2012)"),
        "matrix-game": ("games:matrix_game", "the prisoner's dilemma against an opponent with a memory of one round"),
        "meta-maze": ("mazes:meta_maze", "a goal in a maze, found again and again (Miconi et al. 2019)"),
        "mountain-car": ("classic_control:mountain_car", "a car with gravity, force and goal of its own"),
        "mountain-car-continuous": ("classic_control:mountain_car_continuous", "the same, with a continuous force"),
        "navigation": ("point_robots:navigation", "a point robot and an unseen goal (Finn et al. 2017)"),
        "navigation-rotated": ("point_robots:navigation_rotated", "the same, with actions turned by an angle"),
        "navigation-wind": ("point_robots:navigation_wind", "the same, with a drift"),
        "order-execution": (
            "execution:order_execution",
            "sell shares in a market of unknown impact (Almgren and Chriss 2001)",
        ),
        "pendulum": ("classic_control:pendulum", "a pendulum with mass, length and gravity of its own"),
        "recommendation": ("recommendation:recommendation", "items for a user of unknown taste, a linear bandit"),
        "robot-arm": ("robot_arm:robot_arm", "a reaching arm with lengths, load and friction of its own (Spong 2006)"),
        "semicircle-dense": ("point_robots:semicircle_dense", "a goal on a half circle, reward everywhere"),
        "semicircle-sparse": ("point_robots:semicircle_sparse", "a goal on a half circle, reward near it"),
        "t-maze": ("memory:t_maze", "remember a hint along a corridor (Bakker 2002)"),
        "tabular-mdp": ("tabular:tabular_mdp", "random MDPs of 10 states and 5 actions (Duan et al. 2016)"),
        "tutoring": ("tutoring:tutoring", "a student who learns and forgets (Corbett and Anderson 1995)"),
    },
)


class Optional(NamedTuple):
    """A family that needs another package.

    Attributes:
      package: the module that must be there.
      extra: jaxmeta's extra that installs it.
      row: the family's.
    """

    package: str
    extra: str
    row: Row

    @property
    def is_there(self) -> bool:
        """Whether the package is installed. Nothing is imported: a parent package would take a second."""
        top, *inner = self.package.split(".")
        spec = importlib.util.find_spec(top)
        folders = (spec.submodule_search_locations if spec else None) or ()
        return spec is not None and (not inner or any(Path(folder, *inner).is_dir() for folder in folders))


OPTIONAL = {
    "xland": Optional(
        "xminigrid",
        "xland",
        Row("jaxmeta.tasks.xland:xland", "goals and rules of XLand-MiniGrid, both hidden (Nikulin et al. 2023)"),
    )
} | {
    name: Optional("mujoco.mjx", "locomotion", Row(f"jaxmeta.tasks.locomotion:{name.replace('-', '_')}", summary))
    for name, summary in {
        "half-cheetah-velocity": "run at an unknown speed of up to 2 m/s (Finn et al. 2017)",
        "half-cheetah-velocity-3": "the same, of up to 3 m/s (Rakelly et al. 2019, Zintgraf et al. 2020)",
        "half-cheetah-direction": "run forwards or backwards (Finn et al. 2017)",
        "ant-direction": "walk forwards or backwards, or in any direction (Rakelly et al. 2019)",
        "ant-goal": "walk to an unknown place (Rakelly et al. 2019)",
        "walker-physics": "run on two legs with physics of its own (Rakelly et al. 2019)",
        "hopper-physics": "run on one leg with physics of its own (Rothfuss et al. 2019)",
        "humanoid-direction": "walk on two legs in an unknown direction (Rakelly et al. 2019)",
    }.items()
}
"""Families that need another package, which an extra installs; they are registered where it is there."""
FAMILIES |= {name: optional.row for name, optional in OPTIONAL.items() if optional.is_there}
PARTS = {
    kind: {name: Row(f"jaxmeta.{target}") for name, target in rows.items()}
    for kind, rows in {
        "Outer": {
            "adam": "outer.descent:adam",
            "sgd": "outer.descent:sgd",
            "trust-region": "outer.trust_region:trust_region",
            "none": "outer.descent:no_step",
        },
        "GradientTransformation": {"adam": "outer.descent:adam_updates", "sgd": "outer.descent:sgd_updates"},
        "Estimator": {
            "linear-baseline": "data.advantages:linear_baseline",
            "critic-baseline": "data.advantages:critic_baseline",
        },
        "Surrogate": {
            "likelihood-ratio": "objectives.surrogates:ratio_surrogate",
            "score-function": "objectives.surrogates:score_surrogate",
            "dice": "objectives.surrogates:dice_surrogate",
            "clipped": "objectives.surrogates:clipped_surrogate",
        },
        "ObjectiveMaker": {
            "post-adaptation": "objectives.objectives:after_adaptation",
            "after-every-step": "objectives.objectives:during_adaptation",
        },
        "Encoder": {"cnn": "networks.encoders:cnn", "none": "networks.encoders:as_it_is"},
        "Policy": {"mlp": "networks.policies:policy_for"},
        "RecurrentPolicy": {
            "recurrent": "networks.recurrent:recurrent_policy_for",
            "tabular": "networks.tabular:tabular_policy_for",
        },
        "BeliefModel": {"belief": "networks.beliefs:belief_model_for"},
        "LatentModel": {"latent": "networks.latents:latent_model_for"},
        "DynamicsModel": {"ensemble": "models.dynamics:dynamics_model_for"},
        "OnlineModel": {"windowed": "models.online:windowed_model", "recurrent": "models.online:recurrent_model"},
        "Planner": {
            "cross-entropy": "models.planners:cross_entropy_method",
            "random-shooting": "models.planners:random_shooting",
        },
    }.items()
}
"""Factories by the kind of part that they fill, which is the name of a type."""
PARTS["Family"] = FAMILIES


def method(name: str, target: str | Callable[..., Any], summary: str = "") -> None:
    """Add a method, a builder ``(tasks, *, settings) -> MetaAlgorithm``. A name that is taken is refused."""
    _add("method", METHODS, name, Row(target, summary))


def family(name: str, target: str | Callable[..., Any], summary: str = "") -> None:
    """Add a family of tasks, a factory ``(*, settings) -> TaskDistribution``. A name that is taken is refused."""
    _add("family", FAMILIES, name, Row(target, summary))


def part_factory(kind: str, name: str, target: str | Callable[..., Any], summary: str = "") -> None:
    """Add a factory that fills parts of a kind: the name of a type, such as ``Policy``. A taken name is refused."""
    _add(f"{kind} part", PARTS.setdefault(kind, {}), name, Row(target, summary))


def _add(what: str, table: dict[str, Row], name: str, row: Row) -> None:
    if name in table and _path(table[name].target) != _path(row.target):
        raise RegistryError(f"{what} {name!r} is registered already; choose another name")
    # A notebook's cell, or a file, that is run again replaces what it registered.
    table[name] = row


def _path(target: str | Callable[..., Any]) -> str:
    if isinstance(target, str):
        return target
    name = getattr(target, "__qualname__", "<lambda>")
    return repr(target) if "<lambda>" in name else f"{target.__module__}:{name}"


def kinds() -> dict[str, dict[str, Row]]:
    """Factories by the kind of part that they fill."""
    _entry_points()
    return PARTS


def methods() -> dict[str, Row]:
    """All methods by name, those of installed packages among them."""
    _entry_points()
    return dict(sorted(METHODS.items()))


def families() -> dict[str, Row]:
    """All families of tasks by name, those of installed packages among them."""
    _entry_points()
    return dict(sorted(FAMILIES.items()))


@functools.cache
def _entry_points() -> None:
    from importlib.metadata import entry_points

    for one in entry_points(group="jaxmeta"):
        try:
            one.load()()
        except Exception as error:
            raise RegistryError(f"entry point {one.name} = {one.value}: {type(error).__name__}: {error}") from error


def builder(name: str) -> Callable[..., Any]:
    """A method's builder, imported now."""
    return _imported("method", name, methods())


def family_factory(name: str) -> Callable[..., Any]:
    """A family's factory, imported now."""
    return _imported("family", name, families())


def factory(kind: str, name: str) -> Callable[..., Any]:
    """A factory of parts of a kind, imported now."""
    return _imported(kind, name, kinds()[kind])


def _imported(what: str, name: str, rows: dict[str, Row]) -> Callable[..., Any]:
    check(what, name, rows)
    target = rows[name].target
    return pkgutil.resolve_name(target) if isinstance(target, str) else target


def name_of(function: Callable[..., Any], kind: str | None = None) -> str:
    """The name that a factory is registered by, else its own.

    A factory that fills parts of a ``kind`` must be registered: else a ``RegistryError`` says how.
    """
    path = _path(function)
    tables = (METHODS, FAMILIES, *PARTS.values()) if kind is None else (PARTS[kind],)
    for table in tables:
        for name, row in table.items():
            if row.target is function or row.target == path:
                return name
    if kind is not None:
        way = f"jaxmeta.registry.part_factory({kind!r}, name, it)"
        raise RegistryError(f"{path}: not registered as a {kind}; call {way}")
    return getattr(function, "__name__", path)


def hint(name: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` with the names that are spelled alike, or ``"."``."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else "."


def check(what: str, name: object, known: Iterable[str]) -> None:
    """Raise a ``RegistryError`` on what is no name, or one that is not known, with the near ones."""
    known = list(known)
    if isinstance(name, str) and name in known:
        return
    if isinstance(name, str) and what == "family" and name in OPTIONAL:
        raise RegistryError(
            f'{what}: {name} needs {OPTIONAL[name].package}; pip install "jaxmeta[{OPTIONAL[name].extra}]"'
        )
    raise RegistryError(f"{what}: unknown name {name!r}{hint(str(name), known)} Known: {', '.join(known)}")

"""What algorithms ask of their arguments: each check raises a ``ValueError`` of one line, or does nothing."""

from gymnax.environments import spaces

from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import TaskDistribution


def check_lifetimes(tasks: TaskDistribution) -> None:
    """Raise a ``ValueError`` where a family is not one of lifetimes."""
    if not isinstance(tasks.env, LifetimeEnv):
        raise ValueError("tasks: not a family of lifetimes; give as_lifetime(tasks, episodes)")


def check_discrete(tasks: TaskDistribution) -> None:
    """Raise a ``ValueError`` where the actions are not a few to take the best of."""
    actions = tasks.env.action_space(tasks.env.default_params)
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"tasks: actions are {actions}; Q-learning takes the best of a few: they must be Discrete")

"""GridNavi (Zintgraf et al. 2020): exact Bayes-optimal returns, posterior sampling, and the policy told the goal.

The agent looks for one of the cells outside the 2 × 2 corner that it starts from, in several episodes of ``H`` steps.
A step that ends on the goal pays 1 and any other −0.1.

**What a policy is.** Until the goal is found, the only observation is "not here". So the goal cells not yet visited
remain possible, and a deterministic policy is a sequence of walks, one an episode. Once the goal is found, the best
policy stays, and walks straight to it in later episodes: no step pays more than 1, and no walk arrives earlier. Some
optimal policy of a finite Bayes-adaptive MDP is deterministic, so the optimum is over sequences of walks.

**What is maximised.** In tenths, and above the −H that an episode without the goal pays, finding it at step ``t``
brings ``11 (H − t + 1)`` in that episode, and each later one brings ``11 (H − d + 1)`` for a goal at distance ``d``.
All goals are equally likely, so the value of a sequence of walks is the mean of these gains over the goals at their
first visits.

**Exact search.** Within an episode, the past matters only through the position and the set visited. So a dynamic
programme goes forwards over the pairs that can be reached (309,364 after 15 steps on the 5 × 5 grid), and keeps the
largest gain of each. At an episode's end the position is forgotten. The remaining episodes are searched in the same way
from each visited set, in order of an upper bound (``_bound``), until the bound falls below the best value found. All
numbers are whole, so nothing is rounded.

**Ties.** Of several optimal policies the one whose first episode pays most is reported, then the second, and so on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.types import Array, Key

MOVES = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
"""What the actions stay, up, right, down and left add to ``(x, y)``, in VariBAD's order."""


class Plan(NamedTuple):
    """A Bayes-optimal policy and what it is worth.

    Attributes:
      returns: mean return of each episode over the goals, ``[E]``.
      walks: cells ``(x, y)`` after each step as long as the goal is not found, ``[E, H, 2]``.
    """

    returns: np.ndarray
    walks: np.ndarray


def bayes_optimal(*, size: int = 5, horizon: int = 15, episodes: int = 4) -> Plan:
    """The policy of the largest expected total return over all episodes, exactly.

    Args:
      size: cells along a side, 3 to 5; larger grids have too many walks.
      horizon: H, steps in an episode, 1 to 20.
      episodes: E, 1 to 4.
    """
    for name, value, low, high in (("size", size, 3, 5), ("horizon", horizon, 1, 20), ("episodes", episodes, 1, 4)):
        if not low <= value <= high:
            raise ValueError(f"{name}: got {value}; must be from {low} to {high}")
    search = _Search(size, horizon, episodes)
    value, walks = search.best(0, 0)
    returns = (np.array(search.split(value)) / len(search.distance) - horizon) / 10.0
    cells = np.array(walks + [[0] * horizon] * (episodes - len(walks)))
    return Plan(returns, np.stack(np.divmod(cells, size), axis=-1))


def plan_returns(plan: Plan, goals: np.ndarray) -> np.ndarray:
    """Returns of each episode of a plan where the goal is one of ``goals`` ``[N, 2]``, ``[N, E]``."""
    episodes, horizon, _ = plan.walks.shape
    arrived = np.all(plan.walks.reshape(-1, 2) == np.asarray(goals)[:, None], axis=-1)
    found = np.where(arrived.any(axis=1), arrived.argmax(axis=1), episodes * horizon)
    episode, step = (each[:, None] for each in np.divmod(found, horizon))
    # In later episodes the goal is known, and reached after as many steps as its distance.
    later = np.maximum(horizon - np.sum(goals, axis=1, keepdims=True) + 1, 0)
    now = np.arange(episodes)
    rewarded = np.where(now == episode, horizon - step, np.where(now > episode, later, 0))
    return rewarded - 0.1 * (horizon - rewarded)


def goal_cells(size: int) -> np.ndarray:
    """The cells that can be goals, all but the four of the corner of the start, ``[size² − 4, 2]``."""
    return np.array([(x, y) for x in range(size) for y in range(size) if max(x, y) > 1])


class _Search:
    """Walks over the grid, cells numbered ``x · size + y``, sets of visited goal cells as bits of an integer."""

    def __init__(self, size: int, horizon: int, episodes: int):
        cells, goals = np.stack(np.divmod(np.arange(size**2), size), axis=-1), goal_cells(size)
        self.horizon, self.episodes, self.cells = horizon, episodes, size**2
        number = np.array([size, 1])
        self.following = np.clip(cells[:, None] + MOVES, 0, size - 1) @ number
        self.goal_of = np.full(size**2, -1)
        self.goal_of[goals @ number] = np.arange(len(goals))
        self.bit = np.where(self.goal_of >= 0, np.int64(1) << np.maximum(self.goal_of, 0), 0)
        self.distance = goals.sum(axis=1)
        # A value is (total gain, gain of episode 1, …) as the digits of one integer, so that comparing integers
        # compares totals first. No digit overflows: gains are sums over goals, and every total is below the base.
        self.base = 1 + len(goals) * 11 * horizon * episodes
        self.places = [self.base ** (episodes - 2 - e) if e < episodes - 1 else 0 for e in range(episodes)]
        self.unit = self.base ** (episodes - 1)
        if self.unit * self.base >= 2**63:
            raise ValueError(f"horizon: got {horizon}; gains over {episodes} episodes do not fit into 64 bits")
        self.gain = np.array([[self._gain(g, e) for g in range(len(goals))] for e in range(episodes)])
        self.memory: dict[tuple[int, int], tuple[int, list]] = {}

    def split(self, value: int) -> list[int]:
        """The gain of each episode, in tenths and summed over goals."""
        total, rest = divmod(value, self.unit)
        gains = [rest // place % self.base for place in self.places[:-1]]
        return [*gains, total - sum(gains)]

    def best(self, episode: int, visited: int) -> tuple[int, list]:
        """The largest value from ``episode`` on, and its walks, when the cells of ``visited`` are ruled out."""
        if episode == self.episodes or visited == (1 << len(self.distance)) - 1:
            return 0, []
        if (episode, visited) not in self.memory:
            self.memory[episode, visited] = self._search(episode, visited)
        return self.memory[episode, visited]

    def _search(self, episode: int, visited: int) -> tuple[int, list]:
        layers, value = self._walk(episode, visited)
        sets = layers[-1][0] // self.cells
        bound = value + self._bound(episode + 1, sets)
        best_value, best_end, best_walks = -1, 0, []
        for end in np.argsort(-bound, kind="stable"):
            if bound[end] <= best_value:
                break
            later, walks = self.best(episode + 1, int(sets[end]))
            if int(value[end]) + later > best_value:
                best_value, best_end, best_walks = int(value[end]) + later, int(end), walks
        return best_value, [self._trace(layers, best_end), *best_walks]

    def _walk(self, episode: int, visited: int) -> tuple[list, np.ndarray]:
        """Layers ``(states, parents)`` of the pairs (set, position) after 1, …, H steps, and the last one's values."""
        state, value, layers = np.array([visited * self.cells]), np.zeros(1, np.int64), []
        for t in range(1, self.horizon + 1):
            position = self.following[state % self.cells].ravel()
            parent = np.repeat(np.arange(len(state)), len(MOVES))
            sets, bit, goal = (state // self.cells)[parent], self.bit[position], self.goal_of[position]
            found = (bit > 0) & (sets & bit == 0)
            value = value[parent] + np.where(found, self.gain[episode, goal, t - 1], 0)
            state = (sets | bit) * self.cells + position
            order = np.lexsort((value, state))
            kept = order[np.append(np.diff(state[order]) != 0, True)]
            state, value = state[kept], value[kept]
            layers.append((state, parent[kept]))
        return layers, value

    def _trace(self, layers: list, end: int) -> list[int]:
        walk = []
        for state, parent in reversed(layers):
            walk.append(int(state[end] % self.cells))
            end = parent[end]
        return walk[::-1]

    def _later(self, goal: int) -> int:
        """What a later episode gains from a goal that is known."""
        return max(11 * (self.horizon - int(self.distance[goal]) + 1), 0)

    def _gain(self, goal: int, episode: int) -> list[int]:
        """The value of finding a goal at steps 1, …, H of an episode."""
        # What later episodes add to the value's digits.
        rest = self._later(goal) * ((self.episodes - 1 - episode) * self.unit + sum(self.places[episode + 1 :]))
        return [11 * left * (self.unit + self.places[episode]) + rest for left in range(self.horizon, 0, -1)]

    def _bound(self, episode: int, sets: np.ndarray) -> np.ndarray:
        """At least the value of what may still be found from ``episode`` on, for each visited set.

        Finding a goal at any step of an episode totals more than finding it in a later one. So all remaining goals are
        granted in the next episode, at its last step at the latest. Within an episode, first visits happen at different
        steps, none before the cell's distance. Cells taken in order of distance, each at the first free step, make the
        k-th visit as early as in any plan, for every k. Gains fall linearly with the step, so the total is at least any
        plan's. Lower digits are granted at their largest.
        """
        if episode == self.episodes:
            return np.zeros(len(sets), np.int64)
        total, step = np.zeros(len(sets), np.int64), np.zeros(len(sets), np.int64)
        for goal in np.argsort(self.distance, kind="stable"):
            remains = (sets >> goal) & 1 == 0
            step = np.where(remains, np.maximum(step + 1, self.distance[goal]), step)
            here = 11 * np.maximum(self.horizon - step + 1, 1)
            total += np.where(remains, here + (self.episodes - 1 - episode) * self._later(goal), 0)
        return np.where(total > 0, total * self.unit + (self.unit - 1), 0)


def full_information(*, size: int = 5, horizon: int = 15) -> float:
    """Mean return in an episode of the policy that knows the goal: straight there, and stay."""
    rewarded = np.maximum(horizon - goal_cells(size).sum(axis=1) + 1, 0)
    return float(np.mean(rewarded - 0.1 * (horizon - rewarded)))


def posterior_sampling(key: Key, goal: Array, *, size: int = 5, horizon: int = 15, episodes: int = 4) -> Array:
    """Returns of posterior sampling (Strens 2000; Osband et al. 2013) in one task, ``[E]``, simulated.

    Each episode draws a cell uniformly from those that may still be the goal. To the episode's end, it follows the
    policy that is optimal for this cell: a shortest way, then staying. While both coordinates differ, a step goes along
    either one with equal probability. Cells on the way are ruled out; a goal found is what later episodes draw.

    The goal is the cell ``(x, y)``, int32 ``[2]``.
    """
    x, y = jnp.divmod(jnp.arange(size * size), size)
    possible = jnp.maximum(x, y) > 1
    goal_cell = goal[0] * size + goal[1]

    def step(carry, key):
        position, target, possible = carry
        difference = target - position
        along_x = jnp.where(difference[1] == 0, True, (difference[0] != 0) & jax.random.bernoulli(key))
        move = jnp.where(along_x, jnp.array([1, 0]), jnp.array([0, 1])) * jnp.sign(difference)
        position = position + move
        cell = position[0] * size + position[1]
        found = cell == goal_cell
        remaining = jnp.where(found, jnp.arange(size * size) == goal_cell, possible.at[cell].set(False))
        return (position, target, remaining), jnp.where(found, 1.0, -0.1)

    def episode(possible, key):
        key_target, key_steps = jax.random.split(key)
        cell = jax.random.categorical(key_target, jnp.where(possible, 0.0, -jnp.inf))
        target = jnp.stack(jnp.divmod(cell, size))
        carry = (jnp.zeros(2, cell.dtype), target, possible)
        (_, _, possible), rewards = jax.lax.scan(step, carry, jax.random.split(key_steps, horizon))
        return possible, jnp.sum(rewards)

    _, returns = jax.lax.scan(episode, possible, jax.random.split(key, episodes))
    return returns


def goal_posterior(arrived: np.ndarray, goal: np.ndarray, *, size: int = 5) -> np.ndarray:
    """Probability of each cell to be the goal after 0, 1, …, T steps, ``[T + 1, size, size]``, by Bayes' rule.

    The steps of a lifetime led to the cells ``(x, y)`` in ``arrived`` ``[T, 2]``; ``goal`` ``[2]`` is the cell sought.
    At first all of ``goal_cells`` are equally likely, whichever of them a learner was trained on.
    """
    possible = np.zeros((size, size), bool)
    possible[tuple(goal_cells(size).T)] = True
    sets = [possible]
    for cell in np.asarray(arrived):
        found = np.array_equal(cell, goal)
        possible = np.zeros_like(possible) if found else possible.copy()
        possible[tuple(cell)] = found
        sets.append(possible)
    return np.stack([each / each.sum() for each in sets])

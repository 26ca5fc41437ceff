"""Markdown tables of the results, made from the JSON files in ``benchmarks/results``: no number is typed twice.

A line ``<!-- table: NAME -->`` in a page stands for a table, which ``python benchmarks/tables.py --write README.md
docs/*/*.md`` writes between that line and ``<!-- end of table -->``. A test holds the two equal.
"""

import argparse
import functools
import re
from collections.abc import Callable
from pathlib import Path

import return_tables as returns
import speed_tables as speed
from table_cells import reported

MARKER = re.compile(r"<!-- table: ([\w-]+) -->(?:\n.*?<!-- end of table -->)?", re.DOTALL)
_BANDITS = [{"n": n, "k": k} for n in (10, 100, 500) for k in (2, 5, 10, 50)]

TABLES: dict[str, Callable[[], str]] = {
    "devices": speed.devices,
    "sequential": speed.sequential,
    "faults": speed.faults,
    "locomotion": speed.locomotion,
    "headline": returns.headline,
    "headline-speed": speed.headline_speed,
    "navigation": returns.navigation,
    "families": returns.families,
    "applications": returns.applications,
    "costs": returns.costs,
    "application-speed": speed.application_speed,
    **{f"methods-{task}": functools.partial(returns.methods, task) for task in ("navigation", "semicircle-dense")},
    "methods-semicircle-sparse": functools.partial(returns.methods, "semicircle-sparse"),
    "bandits-one-memory": functools.partial(
        returns.bandits, "memory_regrets", "bandit", [(5, 10), (10, 10), (50, 10), (5, 100), (10, 100)]
    ),
    "bandits-tabular": functools.partial(
        returns.bandits, "tabular_regrets", "table", [(k, n) for n in (100, 500) for k in (5, 10, 50)]
    ),
    "mdps": returns.mdps,
    "gridnavi": returns.gridnavi,
    "gridnavi-held-out": functools.partial(returns.gridnavi, "-held-out"),
    "models": returns.models,
    "replaying": speed.replaying,
    "estimators": returns.estimators,
    "throughput": speed.throughput,
    "outer-steps": speed.outer_steps,
    "batch-sizes": speed.batch_sizes,
    "methods-speed": speed.methods_speed,
    "inner-steps": speed.inner_steps,
    "recurrent": speed.recurrent,
    "reference-bandits": functools.partial(returns.references, "bernoulli-bandit", returns.REFERENCE_BANDITS, _BANDITS),
    "reference-mdps": functools.partial(
        returns.references, "tabular-mdp", returns.REFERENCE_MDPS, [{"n": n} for n in (10, 25, 50, 75, 100)]
    ),
    "accelerator-maml": speed.accelerator_maml,
    "accelerator-rl2": speed.accelerator_rl2,
    "accelerator-methods": speed.accelerator_methods,
    "accelerator-options": speed.accelerator_options,
    "accelerator-profile": speed.accelerator_profile,
    "precision": speed.precision,
    **{name.replace("_", "-"): functools.partial(reported, name) for name in ("cartpole", "model_errors")},
    "action-values": functools.partial(reported, "action_values"),
    "maml-q-seeds": functools.partial(reported, "maml_q_seeds"),
    "pendulum-settings": functools.partial(reported, "pendulum_settings"),
    "sparse-discounts": functools.partial(reported, "sparse_discounts"),
    "imagined-ends": functools.partial(reported, "imagined_ends"),
    "five-arms": functools.partial(reported, "five_arms"),
    "varibad-forgetting": functools.partial(reported, "varibad_forgetting"),
}


def filled(text: str) -> str:
    """The text with its tables made anew, each between its markers.

    Raises:
      KeyError: a marker of a table that is not there.
    """

    def table(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{TABLES[match[1]]()}\n\n<!-- end of table -->"

    return MARKER.sub(table, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="tables to print; all if none is named")
    parser.add_argument("--write", type=Path, nargs="+", help="bring the tables of these pages up to date instead")
    arguments = parser.parse_args()
    if arguments.write is not None:
        for page in arguments.write:
            page.write_text(filled(page.read_text()))
        return
    for name in arguments.names or TABLES:
        print(f"{name}\n\n{TABLES[name]()}\n")


if __name__ == "__main__":
    main()

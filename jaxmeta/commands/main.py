"""``jaxmeta COMMAND``: finds the command, imports it, and runs it. Nothing heavy is imported before."""

import importlib
import os
import sys

from jaxmeta import registry
from jaxmeta.commands.errors import fail, one_line_signals

COMMANDS = {
    "train": "meta-train a method across a family of tasks; save, evaluate on test tasks, and plot",
    "plan": "what train would take with the same arguments: memory, steps, and what to change where it does not fit",
    "evaluate": "evaluate a run on test tasks: returns, reference lines, intervals",
    "export": "write a run as a folder of weights and compiled functions that needs no jaxmeta",
    "replay": "adapt once more to the tasks of a run whose updates were not finite",
    "render": "draw what a run does in test tasks: PNG and GIF",
    "compare": "put evaluated runs side by side, in a figure and a table",
    "report": "write what is known of runs into one page of HTML: warnings, curves, tables, settings, pictures",
    "regret": "learners with a memory beside exact and classical methods, on the same tasks",
    "model-errors": "how well the models of runs that plan predict test tasks",
    "pretrain": "make meta-parameters that jaxmeta.pretrained(NAME) opens, with a card of what they reach",
    "reproduce": "make the figures and tables of a paper or of the results anew, and see whether the numbers agree",
    "references": "exact and classical answers beside published numbers",
    "estimators": "which sampled meta-gradients are unbiased, beside exact ones",
    "gallery": "a picture of a task of each family",
    "config": "print the settings of a method on a family as TOML, to start a file from",
    "list": "name the methods, families and presets there are",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        import jaxmeta

        print(jaxmeta.__version__)
        return 0
    if argv[0] not in COMMANDS:
        fail(f"unknown command {argv[0]!r}{registry.hint(argv[0], COMMANDS)} Known: {', '.join(COMMANDS)}")
    module = importlib.import_module(f"jaxmeta.commands.{argv[0].replace('-', '_')}")
    return module.main(argv[1:])


def as_a_process(*command: str) -> int:
    """What ``jaxmeta``, ``python -m jaxmeta`` and the scripts run, the last with the command that they are."""
    one_line_signals()
    # Where compiled programs are kept, the many small ones are kept too.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    return main([*command, *sys.argv[1:]])


def usage() -> str:
    """What ``jaxmeta --help`` prints."""
    lines = ["usage: jaxmeta COMMAND ...", "", "Meta-reinforcement learning in JAX.", ""]
    lines += [f"  {name:14s}{summary}" for name, summary in COMMANDS.items()]
    lines += [
        "",
        "jaxmeta train METHOD FAMILY --help shows the settings of a method; jaxmeta list names what there is.",
    ]
    return "\n".join(lines)

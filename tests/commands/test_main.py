"""``jaxmeta``: what answers at once, and which commands there are."""

import importlib
import subprocess
import sys

import pytest

from jaxmeta.commands import list as names, main as command, train

HEAVY = """
import sys
from jaxmeta.commands.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
heavy = {"jax", "gymnax", "flax", "matplotlib", "optax", "orbax"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ((), 0, "usage: jaxmeta COMMAND"),
        (("--help",), 0, "usage: jaxmeta COMMAND"),
        (("--version",), 0, "0."),
        (("list",), 0, "methods:"),
        (("trian",), 2, "error: unknown command 'trian'; did you mean train"),
        (("train", "mmal"), 2, "error: method: unknown name 'mmal'; did you mean maml"),
        (("train", "maml", "pendulm"), 2, "error: family: unknown name 'pendulm'; did you mean pendulum"),
        (("train", "maml", "pendulum", "--inner-rat", "1"), 2, "error: --inner-rat: unknown flag"),
        (("train", "--preset", "maml-2018"), 2, "error: preset: unknown name 'maml-2018'; did you mean maml-2017"),
        (("config", "mmal"), 2, "error: method: unknown name 'mmal'"),
        (("evaluate", "--help"), 0, "usage: jaxmeta evaluate"),
        (("render", "--help"), 0, "usage: jaxmeta render"),
        (("compare", "--help"), 0, "usage: jaxmeta compare"),
        (("report", "--help"), 0, "usage: jaxmeta report"),
        (("regret", "--help"), 0, "usage: jaxmeta regret"),
        (("model-errors", "--help"), 0, "usage: jaxmeta model-errors"),
    ],
)
def test_help_and_misspelt_names_are_answered_without_anything_heavy(argv, code, message):
    got = subprocess.run([sys.executable, "-c", HEAVY, *argv], capture_output=True, text=True)
    assert got.returncode == code, got.stderr
    assert (got.stdout if code == 0 else got.stderr).lstrip().startswith(message), got
    assert code == 0 or got.stderr.count("\n") == 1


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_is_there(name):
    module = importlib.import_module(f"jaxmeta.commands.{name.replace('-', '_')}")
    assert callable(module.main)
    assert command.COMMANDS[name]


def test_names_are_listed(printed):
    out = printed(names.main)
    assert all(name in out for name in ("maml", "pendulum", "maml-2017", "methods:", "families:", "presets:"))


def test_help_of_a_method_says_what_its_docstrings_say(capsys):
    with pytest.raises(SystemExit) as caught:
        train.parse(["promp", "pendulum", "--help"])
    assert caught.value.code == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for said in ("--penalty", "--policy.hidden", "--family.mass", "--outer.rate", "--eval.tasks", "--resume"):
        assert said in out
    assert "widths of the hidden layers" in out
    assert "meta-iterations, ≥ 1" in out

"""Whatever is typed, or stands in a file, ends in a result or in one line: never in a traceback, never in a hang."""

import contextlib
import copy
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import jaxmeta
from jaxmeta import registry
from jaxmeta.commands import config, train
from jaxmeta.commands.flags import settings_of
from jaxmeta.runs.logging import read_csv
from jaxmeta.runs.run import RunError, read_config

FEW = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}
WORDS = "0 -1 1 3 0.5 nan inf -inf 1e400 1e-400 true False none None {[]:1} [1,2 ( ' -- - 0x10 1_000 relu adam / .. a=b"
VALUES = st.one_of(
    st.sampled_from(["", *WORDS.split(), "\n", "\x00", "\u00e4\u00b2", "10" * 20, "-" * 500, "[" * 500]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
)


def flags_of(method):
    """Real flags of a method and of its parts, and some that do not exist."""
    own = settings_of(registry.METHODS[method].target)
    found = [*own, "seeds", "meta_batch", "iterations", "seed", "out", "eval.tasks", "family.horizon", "no_such", "x.y"]
    for name, kind in own.items():
        rows = registry.PARTS.get(kind.rpartition(".")[2], {})
        found += [f"{name}.{inner}" for row in rows.values() for inner in settings_of(row.target)]
    return sorted(f"--{name.replace('_', '-')}" for name in found)


FLAGS = {method: flags_of(method) for method in ("maml", "rl2", "pearl", "grbal", "varibad")}


@st.composite
def command_lines(draw):
    method = draw(st.sampled_from(sorted(FLAGS)))
    words = [method, draw(st.sampled_from(["navigation", "pendulum", "bernoulli-bandit", "gridnavi", "nowhere"]))]
    for _ in range(draw(st.integers(0, 4))):
        words.append(draw(st.sampled_from(FLAGS[method])))
        words += draw(st.lists(VALUES, max_size=2))
    return words


def ends_well(function, *arguments):
    """It returns, or leaves with one line of an error."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            function(*arguments)
        except SystemExit as end:
            status = end.code
    assert status in (0, 2)
    if status == 2:
        assert err.getvalue().startswith("error: ")
        assert err.getvalue().count("\n") == 1


@given(words=command_lines())
@settings(max_examples=150, **FEW)
def test_any_command_line_is_understood_or_refused_in_one_line(words):
    ends_well(config.main, words)


TOML = st.recursive(
    st.one_of(
        VALUES.map(json.dumps), st.integers().map(str), st.sampled_from(["true", "nan", "1979-05-27", "[[", "}"])
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    max_leaves=4,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "method",
                    "family",
                    "iterations",
                    "seeds",
                    "policy",
                    "outer",
                    "inner_rate",
                    "[policy]",
                    "[outer]",
                    "use",
                    "x",
                ]
            ),
            TOML,
        ),
        max_size=5,
    )
)
@settings(max_examples=80, **FEW)
def test_any_configuration_in_toml_is_understood_or_refused_in_one_line(tmp_path_factory, entries):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    lines = [name if name.startswith("[") else f"{name} = {value}" for name, value in entries]
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    ends_well(config.main, ["maml", "navigation", "--config", str(file)])
    ends_well(train.parse, ["--config", str(file)])


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A directory with the configuration of a run, and its content."""
    directory = tmp_path_factory.mktemp("fuzzed")
    content = {"format": 3, "experiment": jaxmeta.experiment("maml", "navigation").config(), "versions": {}}
    return directory, content


def places(tree, path=()):
    yield path
    if isinstance(tree, (dict, list)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([1, "a"]),
)


@given(data=st.data(), value=ANY)
@settings(max_examples=120, **FEW)
def test_an_edited_configuration_opens_or_says_what_is_wrong_with_it(described, data, value):
    directory, content = described
    content = copy.deepcopy(content)
    *path, last = data.draw(st.sampled_from([path for path in places(content) if path]))
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    (directory / "config.json").write_text(json.dumps(content))
    told_of(lambda: read_config(directory))


@given(st.binary(max_size=60))
@settings(max_examples=60, **FEW)
def test_any_bytes_for_a_configuration_are_refused(described, content):
    directory, _ = described
    (directory / "config.json").write_bytes(content)
    told_of(lambda: read_config(directory))


HEADER = "iteration,seed,env_steps,seconds,return_pre,return_post,grad_norm,loss,skipped"


@given(
    st.lists(
        st.sampled_from(
            [
                HEADER,
                "1,0,10,0.1,1,2,3,4,0",
                "2,0,20,0.2,1,2,3,4,0",
                "",
                ",",
                "a,b",
                "nan",
                "1,0",
                "1e999,0,0",
                "\x00",
                "\u00e4",
            ]
        ),
        max_size=6,
    )
)
@settings(max_examples=120, **FEW)
def test_any_table_of_metrics_is_read_or_refused_by_name(described, lines):
    file = described[0] / "metrics.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    told_of(lambda: read_csv(file), "metrics.csv")


def told_of(call, name=""):
    """It returns, or raises one of the package's own errors with one line."""
    said = None
    try:
        call()
    except (RunError, ValueError) as error:
        said = error
    if said is not None:
        assert not isinstance(said, (UnicodeError, json.JSONDecodeError))
        assert str(said)
        assert "\n" not in str(said)
        assert name in str(said)

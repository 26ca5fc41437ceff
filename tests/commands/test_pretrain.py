"""Meta-parameters by name: made by one command, opened by another call, and described by what is stored."""

import json

import pytest

import jaxmeta
from jaxmeta import registry
from jaxmeta.commands import pretrain, train
from jaxmeta.runs import pretrained as room
from jaxmeta.runs.run import CONFIG, RunError

SMALL = (
    "fomaml navigation --iterations 2 --meta-batch 2 --episodes 2 --policy.hidden 4 --family.horizon 5 --eval.tasks 3 "
    "--eval.steps 1"
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(room, "recipes", lambda: {"small": room.Recipe(SMALL, 0.1), "other": room.Recipe(SMALL, 2)})
    monkeypatch.setenv(room.HOME, str(tmp_path))
    return tmp_path


def test_they_are_made_once_described_and_opened(small, capsys):
    with pytest.raises(RunError, match=r"jaxmeta pretrain small makes it in about 0\.1 minutes"):
        jaxmeta.pretrained("small")
    assert pretrain.main(["small"]) == 0
    run = jaxmeta.pretrained("small")
    assert (run.iteration, run.config.method, run.directory) == (2, "fomaml", small / "small")
    card = (small / "small" / "card.md").read_text()
    assert card.startswith("# small\n\nfomaml on navigation: 1 seed, 2 meta-iterations")
    assert f"`jaxmeta train {SMALL}`" in card
    evaluation = json.loads((small / "small" / "evaluation.json").read_text())
    assert f"| told the task | {evaluation['references']['optimum']['iqm']:.2f} |" in card
    assert "One seed: how far another one would come is not known." in card
    assert f"jaxmeta {jaxmeta.__version__}" in card
    revision = json.loads((small / "small" / CONFIG).read_text())["git_revision"]
    assert (f"\n- revision: {revision}\n" in card) == (revision is not None)
    capsys.readouterr()
    assert pretrain.main(["small"]) == 0
    assert "is there already" in capsys.readouterr().out
    assert jaxmeta.pretrained("small", small).iteration == 2


def test_what_is_half_made_is_not_opened_but_gone_on_with(small):
    half = SMALL.replace("--iterations 2", "--iterations 1").split()
    assert train.main([*half, "--no-evaluate", "--out", str(small / "small")]) == 0
    config = small / "small" / CONFIG
    config.write_text(config.read_text().replace('"iterations": 1', '"iterations": 2'))
    with pytest.raises(RunError, match="trained for 1 meta-iterations only; jaxmeta pretrain small goes on with it"):
        jaxmeta.pretrained("small")
    assert pretrain.main(["small"]) == 0
    assert jaxmeta.pretrained("small").iteration == 2


def test_names_are_listed_and_misspelt_ones_are_one_line(refused, printed):
    assert refused(pretrain.main, "rl2-gridnav").startswith(
        "error: name: unknown name 'rl2-gridnav'; did you mean rl2-"
    )
    with pytest.raises(registry.RegistryError, match="did you mean maml-navigation"):
        jaxmeta.pretrained("maml-navigatoin")
    out = printed(pretrain.main)
    assert len(out.splitlines()) == len(room.recipes()) >= 10


@pytest.mark.parametrize("name", room.recipes())
def test_every_recipe_is_a_run_that_can_be_parsed(name, tmp_path):
    recipe = room.recipes()[name]
    parsed = train.parse([*recipe.arguments, "--out", str(tmp_path / "run")])
    assert name.startswith(parsed.experiment.method)
    assert 0 < recipe.minutes <= 5

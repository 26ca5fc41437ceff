"""The runs that faults are made to happen to."""

import faults
import pytest

from jaxmeta.commands import train
from jaxmeta.runs.program import traced


@pytest.mark.parametrize("kind", faults.OTHERS)
def test_every_kind_of_state_is_a_run_that_can_be_traced(kind, tmp_path):
    parsed = train.parse([*faults.OTHERS[kind], *faults.SMALL, "--no-evaluate", "--out", str(tmp_path / "run")])
    assert parsed.saving.checkpoint_every == faults.EVERY
    tasks, algorithm = parsed.experiment.build()
    shape = {"seeds": parsed.experiment.seeds, "meta_batch": parsed.experiment.tree["meta_batch"]}
    assert traced(algorithm, tasks, **shape).jaxpr.eqns

"""Say what training would take, before it: memory, chunks, steps, and what to change where it does not fit."""

import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxmeta.commands.arguments import check_file, without
from jaxmeta.commands.errors import fail, one_line_errors

if typing.TYPE_CHECKING:
    from jaxmeta.commands.train import Parsed


def main(argv: list[str] | None = None) -> int:
    """Run the command, whose arguments are those of ``jaxmeta train``; the exit status."""
    from jaxmeta.commands import train

    with one_line_errors():
        rest, values = without(sys.argv[1:] if argv is None else argv, "--json")
        if len(values["--json"]) > 1:
            fail("--json: given twice; give it once")
        path = Path(values["--json"][0]) if values["--json"] else None
        if path is not None:
            check_file("--json", path)
        rest = rest if "--plan" in rest else [*rest, "--plan"]
        say_plan(train.parse(rest, train.USAGE.replace("train", "plan") + " [--json FILE]"), path)
    return 0


def say_plan(arguments: "Parsed", path: Path | None = None) -> None:
    """Print what training would take, and write it as JSON if a file is named; of several processes, the first."""
    from jaxmeta.runs import hosts
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.plan import plan

    how = {"devices": arguments.saving.devices, "seed_chunk": arguments.saving.seed_chunk}
    found = plan(arguments.experiment, **how, announce=print if hosts.first() else lambda line: None)
    if not hosts.first():
        return
    print("\n".join(in_words(found)))
    if path is not None:
        write_json(path, found)


def in_words(found: dict[str, Any]) -> Iterator[str]:
    """A plan as lines."""
    from jaxmeta.runs.memory import in_bytes

    yield f"{found['method']} on {found['family']}: nothing is run or written"
    if found["env_steps"] is not None:
        each, total = _counted(found["env_steps_per_iteration"]), _counted(found["env_steps"])
        yield _row("steps", f"{each} an iteration at most, {total} in {found['iterations']:,} iterations")
    yield _row("seeds", f"{found['seeds']}, {found['seed_chunk']} at a time")
    settings = [f"{_flag(name)} {_value(value)}" for name, value in found["settings"].items()]
    yield _row("settings", ", ".join([*settings, f"horizon {found['horizon']}"]))
    yield _row("devices", f"{found['devices']} ({found['device']})")
    bytes_of = found["bytes"]
    yield _row("state", f"{in_bytes(bytes_of['state'])}, and a copy of it while it is saved")
    yield _row("results", in_bytes(bytes_of["results"]))
    yield _row("temporaries", in_bytes(bytes_of["temporaries"]))
    yield _row("code", in_bytes(bytes_of["code"]))
    yield _row("in all", f"{in_bytes(bytes_of['total'])} on each device, {_fits(found)}")
    yield _row("compiled", f"in {found['compile_seconds']:.0f} s")
    if found["fits"] is False:
        yield from _instead(found["instead"])


def _instead(tried: list[dict[str, Any]]) -> Iterator[str]:
    """What was tried where training does not fit, and what else there is."""
    from jaxmeta.runs.memory import in_bytes

    for one in tried:
        flags = {"seed_chunk": one["seed_chunk"], **one["settings"]}
        said = " ".join(f"{_flag(name)} {value}" for name, value in flags.items())
        yield _row("instead", f"{said}: {in_bytes(one['bytes']['total'])}, {_fits(one)}")
    if not any(one["fits"] for one in tried):
        yield _row("instead", "fewer tasks, episodes, steps or seeds, a smaller network or --capacity, or more devices")


def _row(name: str, text: str) -> str:
    return f"  {name:13s}{text}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(value: Any) -> str:
    return "not given" if value is None else str(value)


def _counted(number: int) -> str:
    return f"{number / 1e6:,.1f} M environment steps" if number >= 1e6 else f"{number:,} environment steps"


def _fits(found: dict[str, Any]) -> str:
    from jaxmeta.runs.memory import in_bytes

    if found["fits"] is None:
        return "and nobody says how much there is"
    return f"which {'fits into' if found['fits'] else 'does not fit into'} {in_bytes(found['memory'])}"

"""Markdown tables of the results, made from the JSON files in ``benchmarks/results``: no number is typed twice.

A line ``<!-- table: NAME -->`` in a page stands for a table, which ``python benchmarks/tables.py --write README.md
docs/*/*.md`` writes between that line and ``<!-- end of table -->``. A test holds the two equal.
"""

import argparse
import functools
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MARKER = re.compile(r"<!-- table: ([\w-]+) -->(?:\n.*?<!-- end of table -->)?", re.DOTALL)
Cell = str | int | float | None


@functools.cache
def results(name: str) -> Any:
    """What ``benchmarks/results/NAME.json`` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def markdown(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; numbers are written with three significant digits."""
    lines = [heads, ["---"] * len(heads), *([written(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    text = f"{cell:.0f}" if isinstance(cell, int) or abs(cell) >= 100 else f"{cell:.3g}"
    return text.replace("-", "−")


def fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def counted(value: float) -> str:
    """A number of steps: 7.3 M, 42 k."""
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def within(middle: float, low: float, high: float) -> str:
    return f"{written(middle)} [{written(low)}, {written(high)}]"


def intervals(summary: dict[str, list[float]]) -> list[str]:
    """Interquartile means with their intervals, one for each adaptation step."""
    return [within(*three) for three in zip(summary["iqm"], summary["low"], summary["high"], strict=True)]


def steps(count: int) -> list[str]:
    return [f"{k} step{'s' if k != 1 else ''}" for k in range(count)]


def reported(name: str) -> str:
    """A table that was kept as it was printed."""
    kept = results("reported")[name]
    return markdown(
        kept["columns"], [[cell if isinstance(cell, str) else str(cell) for cell in row] for row in kept["rows"]]
    )


def navigation() -> str:
    found, theirs = results("navigation_evaluation"), results("published")["navigation"]
    sampled = found["summary"]["sampled"]
    scratch = found["references"]["from_scratch"]["iqm"]
    return markdown(
        ["adaptation steps", *map(str, theirs["steps"])],
        [
            ["MAML, sampled policy", *intervals(sampled)],
            ["the same, plain mean", *sampled["mean"]],
            ["MAML, deterministic policy", *intervals(found["summary"]["deterministic"])],
            ["from scratch, same data", *scratch],
            ["published MAML (mean, 40 goals)", *theirs["maml"]],
            ["random policy", found["references"]["random_policy"]["iqm"], None, None, None],
            ["exact optimum", *[found["references"]["optimum"]["iqm"]] * 4],
        ],
    )


def families() -> str:
    rows = []
    for one in results("families_adaptation"):
        references = one["references"]
        optimum = references["optimum"]["iqm"] if "optimum" in references else None
        scratch = references["from_scratch"]["iqm"][-1]
        rows.append([f"`{one['task']}`", *intervals(one["summary"]["sampled"]), scratch, optimum])
    return markdown(["family", *steps(4), "from scratch, 3 steps", "exact optimum"], rows)


def applications() -> str:
    rows = []
    for one in results("applications"):
        if one["method"] == "rl2":
            by_hand = {name: found["iqm"] for name, found in one["controllers"].items()}
            told = {name: value for name, value in by_hand.items() if name.startswith("told ")}
            baseline = max((value, name) for name, value in by_hand.items() if name not in told)
            scratch, best = one["references"]["from_scratch"]["iqm"][-1], one["summary"]["deterministic"]
            last = within(best["iqm"][-1], best["low"][-1], best["high"][-1])
            sampled = intervals(one["summary"]["sampled"])[-1]
            both = [f"{value:.3g} ({name})".replace("-", "−") for value, name in (baseline, (*told.values(), *told))]
            rows.append([f"`{one['family']}`", sampled, last, *both, scratch])
    heads = ["family", "RL², last episode", "its mode", "best baseline by hand", "told the task", "from scratch"]
    return markdown(heads, rows)


def application_speed() -> str:
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in results("applications_speed_cpu")["families"]:
        if "skipped" not in row:
            found.setdefault(row["family"], {})[row["batch"]] = row
    rows = []
    for name, each in found.items():
        widest = max(each)
        rates = [fixed(each[batch]["steps_per_second"] / 1e6, 2) for batch in (1, 256, widest)]
        size = f"{each[widest]['temporary_bytes'] / widest:.0f} B"
        rows.append([f"`{name}`", *rates, f"{each[widest]['compile_seconds']:.1f} s", size])
    heads = ["family", "1 environment", "256", "4,096", "compiling", "memory of each"]
    return markdown(heads, rows)


def costs() -> str:
    rows = []
    for one in results("applications"):
        if "costs" in one:
            means, shares = one["costs"]["mean"]["sampled"], one["costs"]["over_limit"]["sampled"]
            cells = [f"{mean:.2g} ({share:.0%})" for mean, share in zip(means, shares, strict=True)]
            returns = intervals(one["summary"]["sampled"])[-1]
            rows.append([f"`{one['family']}`", f"`{one['method']}`", returns, cells[0], cells[-1]])
    heads = ["family", "method", "return of the last episode", "cost of the first (over the limit)", "of the last"]
    return markdown(heads, rows)


def methods(task: str) -> str:
    rows = [
        [f"`{one['algorithm']}`", counted(one["env_steps"]), *intervals(one["summary"]["sampled"])]
        for one in results("methods_adaptation")
        if one["task"] == task
    ]
    return markdown(["method", "environment steps", *steps(4)], rows)


def regrets(file: str, **setting: Any) -> list[dict[str, Any]]:
    return [row for row in results(file) if all(row.get(name) == value for name, value in setting.items())]


def lifetime_returns(file: str, run: str) -> tuple[dict[str, Any], list[float], dict[str, float]]:
    """The row of a run's mean over seeds, the mean of each seed, and those of the other methods by name."""
    rows = regrets(file, run=run)
    own = next(row for row in rows if "seeds" in row)
    each = sorted(row["mean"] for row in rows if "seed" in row)
    return own, each, {row["method"]: row["mean"] for row in rows if row["method"] != own["method"]}


def bandits(file: str, prefix: str, settings: Sequence[tuple[int, int]]) -> str:
    rows = []
    for k, n in settings:
        digits = 3 if n == 10 else 2 if n == 100 else 1
        run = f"{prefix}-{k}-{n}"
        own, each, others = lifetime_returns(file, run)
        length, theirs = results("reported")["memory_runs"]["runs"][run], published("bernoulli-bandit", k=k, n=n)
        exact = others.get("bayes-optimal, exact")
        best = others["gittins"] if exact is None else exact
        rows.append(
            [
                f"k = {k}, n = {n}",
                f"{length['iterations']}, {counted(length['env_steps'])}",
                f"{fixed(own['mean'], digits)} ± {fixed(own['mean_stderr'], digits)}",
                f"{fixed(each[0], digits)} to {fixed(each[-1], digits)}",
                f"{fixed(best, digits)} {'index' if exact is None else 'exact'}",
                f"{100 * (best - own['mean']) / best:.1f} %",
                fixed(others["ucb1"], digits),
                *(str(theirs[name]) for name in ("rl2", "snail")),
            ]
        )
    heads = ["bandit", "iterations, steps a seed", "RL²", "seeds", "Bayes optimum or Gittins index", "behind it"]
    return markdown([*heads, "UCB1", "published RL²", "published SNAIL"], rows)


def published(problem: str, **setting: int) -> dict[str, float]:
    rows = results("published")[problem]["rows"]
    return next((row for row in rows if all(row[name] == value for name, value in setting.items())), {})


def reference(problem: str, method: str, **setting: int) -> dict[str, Any] | None:
    matching = (
        row
        for row in results("references")
        if row["problem"] == problem
        and row["method"] == method
        and all(row[name] == value for name, value in setting.items())
    )
    return next(matching, None)


def mdps() -> str:
    rows = []
    lengths = results("reported")["memory_runs"]["runs"]
    for n in (10, 25, 50, 75, 100):
        theirs = published("tabular-mdp", n=n)
        others = [reference("tabular-mdp", name, n=n) for name in ("mean-plus-bonus", "beb", "optimistic-psrl")]
        beside = [fixed(one["mean"], 1) for one in others if one is not None]
        beside += [str(theirs[name]) for name in ("rl2", "snail")]
        for run, lookahead in ((f"table-mdp-{n}", "0"), (f"plan-mdp-{n}", "10")):
            if run not in lengths:
                continue
            own, each, _ = lifetime_returns("tabular_regrets", run)
            rows.append(
                [
                    *(n, lookahead, f"{lengths[run]['iterations']}, {counted(lengths[run]['env_steps'])}"),
                    f"{fixed(own['mean'], 1)} ± {fixed(own['mean_stderr'], 1)}",
                    f"{fixed(each[0], 1)} to {fixed(each[-1], 1)}",
                    *(beside if lookahead == "0" else [""] * len(beside)),
                ]
            )
    heads = ["episodes", "lookahead", "iterations, steps a seed", "RL²", "seeds"]
    return markdown([*heads, "mean + bonus", "BEB", "optimistic PSRL", "published RL²", "published SNAIL"], rows)


def gridnavi() -> str:
    greedy = {row[0]: row[1] for row in results("reported")["gridnavi_deterministic"]["rows"]}
    rows, references = [], []
    for label, run in (("RL²", "gridnavi"), ("VariBAD", "varibad")):
        own, each, _ = lifetime_returns("memory_regrets", run)
        episodes = [fixed(value, 2) for value in own["by_episode"]]
        spread = f"{fixed(each[0], 2)} to {fixed(each[-1], 2)}"
        rows.append([label, *episodes, fixed(own["mean"], 2), spread, fixed(greedy[run], 2)])
    for label, method in (("Bayes optimum, exact", "bayes-optimal, exact"), ("posterior sampling", None)):
        one = regrets("memory_regrets", run="gridnavi", method=method or "posterior-sampling")[0]
        references.append([label, *(fixed(value, 2) for value in one["by_episode"]), fixed(one["mean"], 2), "", ""])
    heads = ["", *(f"episode {k}" for k in range(1, 5)), "lifetime", "seeds", "deterministic policy"]
    return markdown(heads, [*rows, *references])


def models() -> str:
    rows = []
    for one, row in zip(results("models"), results("reported")["models_steps"]["rows"], strict=True):
        assert row[:2] == [one["task"], one["algorithm"]]
        unseen = [] if one["algorithm"] == "from-scratch" else intervals(one["summary"]["sampled"])
        # A planner's entries are episodes, not adaptation steps: its last one.
        unseen = ["", unseen[-1]] if one["algorithm"] == "grbal" else [*unseen, "", ""][:2]
        rows.append([row[0], f"`{row[1]}`", *row[2:], *unseen])
    heads = ["family", "method", "half of the way", "90 %", "all", "steps in all", "last return"]
    return markdown([*heads, "unseen tasks, before", "after"], rows)


def replaying() -> str:
    rows = []
    for one in results("replaying_cpu")["methods"]:
        seconds = statistics.median(one["seconds"])
        rate = f"{one['env_steps'] / seconds:,.0f}"
        name, taken = f"`{one['method'].replace('_', '-')}`", f"{one['env_steps']:,.0f}"
        rows.append([name, one["family"], f"{one['compile_seconds']:.1f} s", f"{seconds:.2f} s", taken, rate])
    heads = ["method", "family", "compilation", "a meta-step", "environment steps in it", "steps a second"]
    return markdown(heads, rows)


INNER_LOSSES = {
    "dice-1": "DiCE, λ = 1",
    "dice-0.5": "Loaded DiCE, λ = 0.5",
    "likelihood-ratio": "likelihood ratio (λ = 0)",
    "score-function": "score function",
    "first-order": "first order",
}


def estimators() -> str:
    found = {(row["problem"], row["steps"], row["estimator"]): row for row in results("estimators")}
    rows = []
    for name, label in INNER_LOSSES.items():
        kept = [[found[problem, k, name] for k in (1, 2, 3)] for problem in ("bandit", "mdp-1")]
        cells = [f"{100 * row['bias']:.1f} ± {100 * row['noise']:.1f}" for problem in kept for row in problem]
        verdicts = ["biased" if any(row["verdict"] == "biased" for row in one) else "unbiased" for one in kept]
        rows.append([label, *cells, " / ".join(dict.fromkeys(verdicts))])
    heads = ["inner loss", *(f"{problem}, {k}" for problem in ("bandit", "MDP") for k in (1, 2, 3))]
    return markdown([*heads, "verdict on bandit / MDP"], rows)


def throughput() -> str:
    rows = []
    for one in results("throughput_cpu")["meta_step"]:
        seconds = f"{statistics.median(one['seconds']):.2f} s"
        compiling = f"{one['compile_cold_seconds']:.1f} s, {one['compile_cached_seconds']:.1f} s"
        rate = counted(one["env_steps_per_second"])
        rows.append([one["outer"], one["tasks"], seconds, rate, compiling, megabytes(one["temporary_bytes"])])
    return markdown(["outer step", "tasks", "a meta-step", "steps a second", "compilation, cached", "MB"], rows)


def outer_steps() -> str:
    rows = []
    for one in results("outer_steps_cpu")["curves"]:
        each = statistics.median(b - a for a, b in zip(one["seconds"], one["seconds"][1:], strict=False))
        passed = [one["seconds_to"][level] for level in ("-16.0", "-13.0")]
        times = ["never in 25 s" if one is None else f"{one:.1f} s" for one in passed]
        rows.append([one["outer"], f"{each:.2f} s", fixed(one["return_post"][10], 1), *times])
    return markdown(["outer step", "an iteration", "return at iteration 11", "to −16", "to −13"], rows)


def batch_sizes() -> str:
    """Seconds until −16 by outer step and meta-batch, the median of seeds and their range."""
    rows = []
    for tasks in (20, 10):
        found = results(f"outer_steps_{tasks}_cpu")
        for name in dict.fromkeys(one["outer"] for one in found["curves"]):
            runs = [one for one in found["curves"] if one["outer"] == name]
            passed = sorted(one["seconds_to"]["-16.0"] or math.inf for one in runs)
            steps = [sum(second <= one["seconds_to"]["-16.0"] for second in one["seconds"]) for one in runs]
            range_ = f"{statistics.median(passed):.1f} s ({passed[0]:.1f} to {passed[-1]:.1f})"
            rows.append([name, tasks, range_, f"{min(steps)} to {max(steps)}"])
    return markdown(["outer step", "tasks", "to −16", "iterations"], rows)


def methods_speed() -> str:
    rows: dict[str, list[Cell]] = {}
    for one in results("methods_cpu")["methods"]:
        cells = [f"{statistics.median(one['seconds']):.2f} s", megabytes(one["temporary_bytes"])]
        name = f"`{one['method'].replace('_', '-')}`"
        rate = [counted(one["env_steps_per_second"])] if name not in rows else []
        rows.setdefault(name, [name]).extend([*rate, *cells])
    heads = ["method", "steps a second", "one task at a time", "MB", "all together", "MB"]
    return markdown(heads, [[*row, "", ""][: len(heads)] for row in rows.values()])


def inner_steps() -> str:
    rows: dict[int, list[Cell]] = {}
    for one in results("methods_cpu")["inner_steps"]:
        cell = f"{statistics.median(one['seconds']):.3f} s, {one['temporary_bytes'] / 1e6:.1f} MB"
        rows.setdefault(one["adaptation_steps"], [one["adaptation_steps"]]).append(cell)
    return markdown(["inner steps", "activations kept", "computed again"], rows.values())


def recurrent() -> str:
    rows = []
    for one in results("recurrent_cpu")["steps"]:
        rates = [counted(one[name]) for name in ("env_steps_per_second", "acting_env_steps_per_second")]
        share = f"{100 * one['fraction_of_matrix_product']:.0f} %"
        cell = [f"`{one['cell']}`", one["size"], f"{one['compile_seconds']:.1f} s"]
        rows.append([*cell, *rates, share, megabytes(one["temporary_bytes"])])
    heads = ["cell", "features", "compilation", "steps a second", "acting alone", "of the product's rate", "MB"]
    return markdown(heads, rows)


REFERENCE_BANDITS = ("bayes-optimal", "gittins", "thompson", "likeliest-thompson", "ucb1", "epsilon-greedy", "greedy")
REFERENCE_MDPS = ("full-information", "psrl", "optimistic-psrl", "ucrl2", "beb", "epsilon-greedy", "greedy", "random")


def references(problem: str, methods: Sequence[str], settings: Sequence[dict[str, int]]) -> str:
    rows = []
    for setting in settings:
        theirs = published(problem, **setting)
        cells = []
        for method in methods:
            row = reference(problem, method, **setting)
            digits = 2 if setting["n"] <= 100 and problem == "bernoulli-bandit" else 1
            ours = "" if row is None else fixed(row["mean"], digits)
            cells.append(f"{ours} ({theirs[method]})" if row is not None and method in theirs else ours)
        rows.append([", ".join(str(value) for value in setting.values()), *cells])
    return markdown([", ".join(settings[0]), *(name.replace("-", " ") for name in methods)], rows)


def accelerator_maml() -> str:
    found = results("accelerator_h200")
    rows = [_accelerated(f"{one['tasks']:,} tasks, chunks of {one['task_chunk']:,}", one) for one in found["maml"]]
    for one in found["seeds"]:
        name = f"{one['seeds']} seeds together" if one["seeds"] > 1 else "1 seed"
        rows.append(_accelerated(f"{name}, {one['tasks']} tasks each", one))
    return markdown(ACCELERATED, rows)


def accelerator_rl2() -> str:
    found = results("accelerator_h200")
    rows = []
    for one in [*found["rl2"], *found["cells"]]:
        name = f"{one['cell']} {one['size']}, {one['lifetimes']:,} lifetimes, chunks of {one['task_chunk']:,}"
        rows.append(_accelerated(name, one))
    return markdown(ACCELERATED, rows)


ACCELERATED = ["", "compilation", "a meta-step", "M steps/s", "TFLOP/s of matrix products", "GB"]


def _accelerated(name: str, one: dict[str, Any]) -> list[Cell]:
    flops = one.get("matrix_flops_per_second")
    rate = one["env_steps_per_second"] / 1e6
    cells: list[Cell] = [f"{one['compile_seconds']:.0f} s", f"{1000 * one['seconds']:.1f} ms", rate]
    return [name, *cells, None if flops is None else flops / 1e12, one["temporary_bytes"] / 1e9]


def accelerator_methods() -> str:
    found = results("accelerator_h200")
    rows = []
    for one in [*found["methods"], *found["replaying"]]:
        what = one.get("family", f"navigation, {one.get('tasks')} tasks")
        seconds = f"{1000 * one['seconds']:.0f} ms"
        rows.append([f"`{one['method'].replace('_', '-')}`", what, f"{one['compile_seconds']:.0f} s", seconds])
    return markdown(["method", "family", "compilation", "a meta-step"], rows)


def accelerator_options() -> str:
    rows = results("accelerator_h200")["options"]
    seconds = {(one["method"], one["option"]): one["seconds"] for one in rows}
    options = list(dict.fromkeys(option for _, option in seconds))
    methods = list(dict.fromkeys(method for method, _ in seconds))

    def cell(method: str, option: str) -> Cell:
        time = seconds.get((method, option))
        return None if time is None else f"{1000 * time:.1f} ms"

    named = [[f"`{method.replace('_', '-')}`", *(cell(method, option) for option in options)] for method in methods]
    return markdown(["", *("as it is" if option == "none" else option for option in options)], named)


def accelerator_profile() -> str:
    rows = [
        [f"`{one['method'].replace('_', '-')}`", f"{one['kernels']:,}", f"{1000 * one['busy_seconds']:.1f} ms"]
        for one in results("accelerator_h200")["profile"]
    ]
    return markdown(["", "kernels and copies", "the device is busy"], rows)


def sequential() -> str:
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in results("sequential")["sequential"]:
        longest = one["loops"][0]["loop"].replace(" > ", " × ")
        counts = tuple(f"{one[name]:,}" for name in ("tasks", "acting", "iterations"))
        alike.setdefault((*counts, longest), []).append(f"`{one['method']}`")
    rows = [[", ".join(methods), *counts] for counts, methods in alike.items()]
    return markdown(["", "tasks", "steps of acting", "iterations", "the longest loop"], rows)


def devices() -> str:
    def row(one: dict[str, Any]) -> list[Cell]:
        sums, others = one.get("all-reduce", 0), ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")
        sizes = [sums, sum(one.get(name, 0) for name in others), one["temporary_bytes"] / 1e6]
        return [
            f"`{one['method'].replace('_', '-')}`",
            one["devices"],
            *sizes,
            f"{one['difference'] / one['moved']:.0e}",
        ]

    heads = ["method", "devices", "sums", "other exchanges", "MB on each", "difference, of the move"]
    return markdown(heads, [row(one) for one in results("devices_cpu")["devices"]])


def locomotion() -> str:
    """Compile time, speed and distance from C MuJoCo, by body and solver."""
    found = results("locomotion_cpu")

    def row(one: dict[str, Any]) -> list[Cell]:
        apart = [f"{one['differences'][count][0]:.0e}".replace("-", "−") for count in ("5", "10", "40")]
        speeds = [f"{one['compile_seconds']:.0f} s", f"{one['steps_per_second']:,.0f}"]
        return [f"`{one['family']}`", f"`{one['solver']}`", *speeds, *apart]

    heads = ["family", "solver", "compile", "steps/s", "5 steps", "10 steps", "40 steps"]
    return markdown(heads, [row(one) for one in found["rows"]])


def faults() -> str:
    rows = [[one["case"], one["tries"], one["right"]] for one in results("faults")["cases"]]
    return markdown(["what was done to a run", "times", "right afterwards"], rows)


def headline() -> str:
    """The front page's results, each beside what is best."""
    found = results("navigation_evaluation")["summary"]["sampled"]
    optimum = results("navigation_evaluation")["references"]["optimum"]["iqm"]
    theirs = results("published")["navigation"]["maml"]
    rows: list[list[Cell]] = []
    for k in (1, 3):
        name = f"2D navigation, MAML, {k} adaptation step{'s' if k > 1 else ''}"
        ours = within(found["iqm"][k], found["low"][k], found["high"][k])
        rows.append([name, ours, f"{written(optimum)} exact", written(theirs[k])])
    for file, prefix, k, n in (("memory_regrets", "bandit", 5, 10), ("tabular_regrets", "table", 10, 100)):
        own, _, others = lifetime_returns(file, f"{prefix}-{k}-{n}")
        digits = 3 if n == 10 else 2
        exact = others.get("bayes-optimal, exact")
        best = f"{fixed(exact or others['gittins'], digits)} {'exact' if exact else 'Gittins index'}"
        ours = f"{fixed(own['mean'], digits)} ± {fixed(own['mean_stderr'], digits)}"
        by = str(published("bernoulli-bandit", k=k, n=n)["rl2"])
        rows.append([f"bandit of {k} arms, {n} pulls, RL²", ours, best, by])
    for label, run in (("RL²", "gridnavi"), ("VariBAD", "varibad")):
        own, _, others = lifetime_returns("memory_regrets", run)
        best = f"{fixed(others['bayes-optimal, exact'], 2)} exact"
        ours = f"{fixed(own['mean'], 2)} ± {fixed(own['mean_stderr'], 2)}"
        rows.append([f"GridNavi, 4 episodes, {label}", ours, best, None])
    return markdown(["", "return", "best possible", "published"], rows)


def headline_speed() -> str:
    cpu = next(one for one in results("throughput_cpu")["meta_step"] if one["outer"] == "adam" and one["tasks"] == 40)
    gpu = results("accelerator_h200")
    maml = max(gpu["maml"], key=lambda one: one["env_steps_per_second"])["env_steps_per_second"]
    rl2 = max(gpu["rl2"], key=lambda one: one["env_steps_per_second"])["env_steps_per_second"]
    on_cpu = next(one for one in results("recurrent_cpu")["steps"] if (one["cell"], one["size"]) == ("gru", 256))
    rows = [
        ["second-order MAML, navigation", counted(cpu["env_steps_per_second"]), counted(maml)],
        ["RL², bandits, GRU of 256", counted(on_cpu["env_steps_per_second"]), counted(rl2)],
    ]
    return markdown(["environment steps a second, learning included", "two CPU cores", "one H200"], rows)


_BANDITS = [{"n": n, "k": k} for n in (10, 100, 500) for k in (2, 5, 10, 50)]


def precision() -> str:
    """Errors of a meta-gradient by precision of matrix products, beside the sampling error, in percent."""
    rows: dict[int, dict[str, Any]] = {}
    for row in results("precision_cpu")["rows"]:
        found = rows.setdefault(row["adaptation_steps"], {"sampling": row["sampling"]})
        found[row["precision"]] = row["relative_error"]
    heads = ("adaptation steps", "float32", "tf32", "bfloat16", "sampling")
    each = (
        (steps, f"{100 * found['float32']:.0e} %", *(f"{100 * found[name]:.1f} %" for name in heads[2:]))
        for steps, found in rows.items()
    )
    return markdown(heads, each)


TABLES: dict[str, Callable[[], str]] = {
    "devices": devices,
    "sequential": sequential,
    "faults": faults,
    "locomotion": locomotion,
    "headline": headline,
    "headline-speed": headline_speed,
    "navigation": navigation,
    "families": families,
    "applications": applications,
    "costs": costs,
    "application-speed": application_speed,
    **{f"methods-{task}": functools.partial(methods, task) for task in ("navigation", "semicircle-dense")},
    "methods-semicircle-sparse": functools.partial(methods, "semicircle-sparse"),
    "bandits-one-memory": functools.partial(
        bandits, "memory_regrets", "bandit", [(5, 10), (10, 10), (50, 10), (5, 100), (10, 100)]
    ),
    "bandits-tabular": functools.partial(
        bandits, "tabular_regrets", "table", [(k, n) for n in (100, 500) for k in (5, 10, 50)]
    ),
    "mdps": mdps,
    "gridnavi": gridnavi,
    "models": models,
    "replaying": replaying,
    "estimators": estimators,
    "throughput": throughput,
    "outer-steps": outer_steps,
    "batch-sizes": batch_sizes,
    "methods-speed": methods_speed,
    "inner-steps": inner_steps,
    "recurrent": recurrent,
    "reference-bandits": functools.partial(references, "bernoulli-bandit", REFERENCE_BANDITS, _BANDITS),
    "reference-mdps": functools.partial(
        references, "tabular-mdp", REFERENCE_MDPS, [{"n": n} for n in (10, 25, 50, 75, 100)]
    ),
    "accelerator-maml": accelerator_maml,
    "accelerator-rl2": accelerator_rl2,
    "accelerator-methods": accelerator_methods,
    "accelerator-options": accelerator_options,
    "accelerator-profile": accelerator_profile,
    "precision": precision,
    **{name.replace("_", "-"): functools.partial(reported, name) for name in ("cartpole", "model_errors")},
    "action-values": functools.partial(reported, "action_values"),
    "maml-q-seeds": functools.partial(reported, "maml_q_seeds"),
    "pendulum-settings": functools.partial(reported, "pendulum_settings"),
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

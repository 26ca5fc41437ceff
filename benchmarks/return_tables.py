"""Tables of what methods reach: returns, regrets, errors of estimators."""

from collections.abc import Sequence
from typing import Any

from table_cells import Cell, counted, fixed, intervals, markdown, results, steps, within, written


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


def gridnavi(split: str = "") -> str:
    """Returns by episode, on the goals of training or, with ``split`` "-held-out", on those kept out of it."""
    greedy = {row[0]: fixed(row[1], 2) for row in results("reported")["gridnavi_deterministic"]["rows"]}
    rows, references = [], []
    for label, run in (("RL²", "gridnavi"), ("VariBAD", "varibad")):
        own, each, _ = lifetime_returns("memory_regrets", run + split)
        episodes = [fixed(value, 2) for value in own["by_episode"]]
        spread = f"{fixed(each[0], 2)} to {fixed(each[-1], 2)}"
        rows.append([label, *episodes, fixed(own["mean"], 2), spread, greedy[run]])
    for label, method in (("Bayes optimum, exact", "bayes-optimal, exact"), ("posterior sampling", None)):
        one = regrets("memory_regrets", run=f"gridnavi{split}", method=method or "posterior-sampling")[0]
        references.append([label, *(fixed(value, 2) for value in one["by_episode"]), fixed(one["mean"], 2), "", ""])
    heads = ["", *(f"episode {k}" for k in range(1, 5)), "lifetime", "seeds", "deterministic policy"]
    # The mode was evaluated on the goals of training alone.
    return markdown(heads[:-1] if split else heads, [row[:-1] if split else row for row in [*rows, *references]])


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
    for split, goals in (("", ""), ("-held-out", ", goals never trained on")):
        for label, run in (("RL²", "gridnavi"), ("VariBAD", "varibad")):
            own, _, others = lifetime_returns("memory_regrets", run + split)
            best = f"{fixed(others['bayes-optimal, exact'], 2)} exact"
            ours = f"{fixed(own['mean'], 2)} ± {fixed(own['mean_stderr'], 2)}"
            rows.append([f"GridNavi, 4 episodes, {label}{goals}", ours, best, None])
    return markdown(["", "return", "best possible", "published"], rows)

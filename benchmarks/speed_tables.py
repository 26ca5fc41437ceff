"""Tables of what methods cost: seconds, steps a second, memory; and of what a run survives."""

import math
import statistics
from typing import Any

from table_cells import Cell, counted, fixed, markdown, megabytes, results


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


def replaying() -> str:
    rows = []
    for one in results("replaying_cpu")["methods"]:
        seconds = statistics.median(one["seconds"])
        rate = f"{one['env_steps'] / seconds:,.0f}"
        name, taken = f"`{one['method'].replace('_', '-')}`", f"{one['env_steps']:,.0f}"
        rows.append([name, one["family"], f"{one['compile_seconds']:.1f} s", f"{seconds:.2f} s", taken, rate])
    heads = ["method", "family", "compilation", "a meta-step", "environment steps in it", "steps a second"]
    return markdown(heads, rows)


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

"""Reports of runs: what is on the page, what is warned of, and how a browser shows it."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import jaxmeta
from jaxmeta.commands import report
from jaxmeta.plots import page
from jaxmeta.runs.logging import CsvLog, columns
from jaxmeta.runs.statistics import bootstrap_interval, interquartile_mean
from jaxmeta.studies import report as contents

HERE = {"versions": {"jax": "1.0"}, "device": {"kind": "cpu", "count": 1}, "cores": 2, "git_revision": "abc"}
HOSTILE = '<script>alert("&")</script>'
PNG = b"\x89PNG\r\n\x1a\n and so on"
BROWSER = shutil.which("chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --enable-logging=stderr --v=0"


@pytest.fixture
def made(tmp_path):
    """``made(name, ...)``: a directory as a run leaves it, without training."""

    def write(name, method="maml", *, asked=4, done=4, skipped=(), evaluated=4, returns=None, history=(), **settings):
        run = tmp_path / name
        run.mkdir()
        experiment = jaxmeta.experiment(method, "navigation", iterations=asked, seeds=2, **settings)
        config = {"format": 3, "experiment": experiment.config(), **HERE}
        config["history"] = [{"from_iteration": 0, **HERE, "compile_seconds": 1.5}, *history]
        (run / "config.json").write_text(json.dumps(config))
        log = CsvLog(run / "metrics.csv", columns(["skipped"]), [0, 1])
        for i in range(1, done + 1):
            row = {
                "iteration": i,
                "env_steps": 1000 * i,
                "seconds": 2.0 * i,
                "return_pre": -9.0,
                "return_post": -8.0 + i,
            }
            log.write([{**row, "seed": seed, "skipped": float((i, seed) in skipped)} for seed in (0, 1)])
        log.close()
        if evaluated:
            result = evaluation(steady() if returns is None else returns, evaluated)
            (run / "evaluation.json").write_text(json.dumps(result))
        return run

    return write


def steady():
    """Returns of two seeds in six tasks after no step, one and two, which differ little: ``[2, 6, 3]``."""
    return np.array([-9.0, -5.0, -2.0]) + 0.1 * np.random.default_rng(0).normal(size=(2, 6, 3))


def evaluation(returns, iteration):
    """The content of an ``evaluation.json``."""

    def summary(values):
        middle, (low, high) = interquartile_mean(values, axis=(0, 1)), bootstrap_interval(values, resamples=100)
        return {"iqm": middle.tolist(), "low": low.tolist(), "high": high.tolist()}

    both = {"sampled": summary(returns - 0.5), "deterministic": summary(returns)}
    references = {"from_scratch": summary(returns - 1), "random_policy": dict.fromkeys(("iqm", "low", "high"), -9.5)}
    return {
        "axes": ["seed", "task", "adaptation_step"],
        "iteration": iteration,
        "protocol": {"steps": 2, "task_seed": 0},
        "seeds": [0, 1],
        "interval": {},
        "tasks": {"count": 6, "distinct": 6},
        "returns": (returns - 0.5).tolist(),
        "returns_deterministic": returns.tolist(),
        "summary": both,
        "references": references,
    }


@pytest.fixture
def reported(printed, tmp_path):
    """``reported(*arguments)``: the page of a report."""

    def call(*arguments):
        out = tmp_path / "report.html"
        assert printed(report.main, *arguments, "--out", out) == f"wrote {out}\n"
        return out.read_text(encoding="utf-8")

    return call


class Outline(html.parser.HTMLParser):
    """Headings, names of parts, texts of cells, and what is open when it should not be."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.names, self.cells, self.links, self.images = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.names += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        self.images += [found] if tag in ("img", "svg", "video") else []
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1] += data


def notices(text):
    """The warnings of a page."""
    found = re.search(r'<section class="notices">.*?</section>', text, re.DOTALL)
    return [html.unescape(line) for line in re.findall(r"<li>(.*?)</li>", found[0])] if found else []


def test_a_run_has_all_its_pieces_in_order_and_no_warning_without_a_reason(made, reported):
    run = made("first")
    for name in ("trajectories.png", "experts.png"):
        (run / name).write_bytes(PNG)
    text = reported(run, "--note", "a line")
    outline = Outline(text)
    assert notices(text) == []
    assert outline.headings == [
        ("h1", "maml on navigation"),
        ("h2", "first: maml on navigation"),
        ("h3", "Returns"),
        ("h3", "Time"),
        ("h3", "Settings and versions"),
        ("h3", "Pictures"),
    ]
    assert '<p class="note">a line</p>' in text
    assert "maml on navigation: 2 seeds, 4 meta-iterations, 4,000 environment steps in each seed" in text
    # Two seeds of 4,000 steps each took eight seconds.
    for name, value in (
        ("compilation", "1.5 s"),
        ("environment steps a second", "1,000"),
        ("meta-iterations", "4 of 4"),
        ("versions.jax", "1.0"),
    ):
        assert outline.cells[outline.cells.index(name) + 1] == value
    returns = outline.cells[outline.cells.index("deterministic policy") + 1 :]
    assert re.fullmatch(r"−9\.\d\d \[−9\.\d\d, −8\.\d\d\]", returns[0])
    assert html.escape('[outer]\nuse = "adam"') in text
    assert len(outline.images) == 4
    assert all(one.get("alt") or one.get("aria-label") for one in outline.images)


def test_a_page_needs_nothing_else_and_is_the_same_twice(made, reported):
    runs = [made("first"), made("second", "anil")]
    text = reported(*runs)
    outline = Outline(text)
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    assert len(outline.names) == len(set(outline.names))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.names)
    assert re.findall(r"url\((?!#)", text) == []
    assert "default-src 'none'" in text
    assert reported(*runs) == text


def test_runs_are_compared_and_then_shown_one_by_one(made, reported):
    text = reported(made("a"), made("b", "anil"), made("c", evaluated=0), "--title", "Three of them")
    outline = Outline(text)
    assert [head for level, head in outline.headings if level != "h3"] == [
        "Three of them",
        "Warnings",
        "Comparison",
        "a: maml",
        "b: anil",
        "c: maml on navigation",
    ]
    assert "3 runs: maml on navigation (2), anil on navigation (1); 6 seeds, 24,000 environment steps in all" in text
    assert notices(text) == ["c: The run has no evaluation; jaxmeta evaluate makes it."]
    # The two are equally good.
    assert any(cell.startswith("50% [") for cell in outline.cells)
    apart = evaluation(steady(), 4) | {"protocol": {"steps": 2, "task_seed": 1}}
    other = made("d", inner_rate=0.3)
    (other / "evaluation.json").write_text(json.dumps(apart))
    assert notices(reported(other.parent / "a", other))[0].startswith("Evaluated in different ways, and shown apart: ")


@pytest.mark.parametrize(
    ("how", "warning"),
    [
        ({"done": 3, "evaluated": 3}, "The run is not finished: 3 of 4 meta-iterations are done."),
        ({"done": 0}, "The run is not finished: 0 of 4 meta-iterations are done."),
        (
            {"skipped": [(2, 1), (3, 1)]},
            "Seed 1: updates that were not finite were left out in 2 of 4 meta-iterations.",
        ),
        ({"evaluated": 0}, "The run has no evaluation; jaxmeta evaluate makes it."),
        ({"evaluated": 2}, "The evaluation is of iteration 2, and training went on after it."),
        (
            {"history": [{"from_iteration": 2, **HERE, "cores": 8, "versions": {"jax": "1.1"}}]},
            "The run was trained in 2 parts, and not all on the same machine with the same versions: they differ in "
            "versions.jax, cores. The last bits of its numbers may depend on it.",
        ),
    ],
)
def test_what_is_amiss_is_said_at_the_top(made, reported, how, warning):
    text = reported(made("first", **how))
    assert notices(text) == [warning]
    assert text.index("Warnings") < text.index("<h3>")


def test_a_run_that_only_went_on_where_it_was_is_not_warned_of(made, reported):
    assert notices(reported(made("first", history=[{"from_iteration": 2, **HERE}]))) == []


def test_returns_that_differ_much_are_said(made, reported):
    apart = steady()
    apart[1, :, 2] = -6.0
    wide, first, second = notices(reported(made("apart", returns=apart)))
    assert wide.startswith("The last deterministic return is uncertain: its 95 % interval, [−")
    assert first.startswith("Seed 0 lies far from the others: its last deterministic return is −")
    assert "and their median −6, further apart than half of the improvement" in first
    assert second.startswith("Seed 1 lies far from the others: its last deterministic return is −6 and their")
    uncertain = steady()
    uncertain[:, :, 2] = [-9.0, -8.0, -6.0, -2.0, -1.0, 0.0]
    (wide,) = notices(reported(made("wide", returns=uncertain)))
    assert wide.endswith("is wider than half of the improvement from the first to the last, 4.84.")
    (none,) = notices(reported(made("worse", returns=steady()[:, :, ::-1])))
    assert none.startswith("The last deterministic return is uncertain")
    # Of a single stage nothing can be said.
    assert notices(reported(made("single", returns=uncertain[:, :, 2:]))) == []


def test_a_curve_of_many_iterations_has_some_of_them():
    rows = [{"iteration": i, "seed": seed} for i in range(1, 1002) for seed in (0, 1)]
    kept, every = contents.thinned(rows)
    assert every == 3
    assert [row["iteration"] for row in kept if row["seed"] == 1] == [1, *range(3, 1001, 3), 1001]
    assert contents.thinned(rows[:8]) == (rows[:8], 1)


def test_all_text_is_escaped(made, reported, tmp_path):
    first, second = made(HOSTILE.replace("/", "_")), made("$x^{$")
    for run in (first, second):
        config = json.loads((run / "config.json").read_text())
        config |= {"device": {HOSTILE: HOSTILE}, "history": [{"from_iteration": HOSTILE, "versions": {}}, *2 * [HERE]]}
        (run / "config.json").write_text(json.dumps(config))
        result = json.loads((run / "evaluation.json").read_text())
        result["protocol"] |= {HOSTILE: [HOSTILE]}
        (run / "evaluation.json").write_text(json.dumps(result))
    picture = tmp_path / f"{HOSTILE.replace('/', '_')}.png"
    picture.write_bytes(PNG)
    text = reported(first, second, "--title", HOSTILE, "--note", HOSTILE, "--figures", picture)
    outline = Outline(text)
    assert text.count("<script>") == 1
    assert text.count("<script ") == 2
    assert "alert(" in text
    assert not re.search(r"<script[^>]*>\s*alert", text)
    assert outline.headings[0] == ("h1", HOSTILE)
    assert HOSTILE in outline.cells
    # A label is not read as a formula.
    assert "$x^{$" in text


def test_data_of_a_curve_cannot_end_its_element():
    rows = [{"seed": 0, "env_steps": float(i), "return_pre": np.nan, "return_post": float(i)} for i in (1, 2)]
    stages = jaxmeta.plots.style.Stages("</script><b>", "last")
    text = page.curves(jaxmeta.plots.learning_curve(rows, stages=stages), "x", "alt", "caption")
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    assert data["steps"] == [1.0, 2.0]
    assert [one["name"] for one in data["series"]] == ["</script><b>", "last"]
    assert [one["values"] for one in data["series"]] == [[[None, None]], [[1.0, 2.0]]]
    assert all(f'id="{mark}"' in text for one in data["series"] for mark in one["marks"])
    # The frame is where the axes are drawn.
    left, top, right, bottom = data["frame"]
    patch = re.search(r'id="x-patch_2">\s*<path d="([^"]*)"', text)[1]
    corners = np.array(re.findall(r"[\d.]+", patch), float).reshape(-1, 2)
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], [[left, top], [right, bottom]], atol=0.01)


def test_pictures_and_films_are_embedded(made, reported, tmp_path):
    files = {"a.png": PNG, "b.gif": b"GIF89a", "c.svg": b"<svg onload='x()'></svg>", "d.mp4": b"\0\0\0\x18ftypmp42"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    outline = Outline(text := reported(made("first"), "--figures", *(tmp_path / name for name in files)))
    kinds = [link[5:].partition(";")[0] for link in outline.links if link.startswith("data:") and link != "data:,"]
    assert kinds == ["image/png", "image/gif", "image/svg+xml", "video/mp4"]
    assert re.findall("<figcaption>(.*?)</figcaption>", text)[-4:] == list(files)
    assert "onload" not in text


def test_links_in_a_run_are_not_followed(made, reported, tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    run = made("first")
    (run / "trajectories.png").symlink_to(tmp_path / "secret.png")
    text = reported(run)
    assert notices(text) == ["trajectories.png is a link and is not shown."]
    assert "image/png" not in text
    out = tmp_path / "out.html"
    out.symlink_to(tmp_path / "secret.png")
    report.main([str(run), "--out", str(out)])
    assert not out.is_symlink()
    assert (tmp_path / "secret.png").read_bytes() == PNG


def test_what_cannot_be_meant_is_one_line(made, refused, tmp_path):
    run, out = made("first"), tmp_path / "x.html"
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.png").write_text("a")
    for argv, message in (
        ((), "RUNS: name the directory of at least one run"),
        ((tmp_path,), f"{tmp_path} holds no run: there is no config.json"),
        (
            (run, "--out", tmp_path / "x.png"),
            f"--out: got {tmp_path / 'x.png'}; its name must end in one of .html, .htm",
        ),
        ((run, "--out", tmp_path / "no" / "x.html"), f"--out: {tmp_path / 'no'} is not a directory"),
        ((run, "--figures", tmp_path / "no.png"), f"--figures {tmp_path / 'no.png'}: there is no such file"),
        (
            (run, "--figures", tmp_path / "a.txt"),
            f"{tmp_path / 'a.txt'}: its name must end in one of .gif, .mp4, .png, ",
        ),
        ((run, "--figures", tmp_path / "a.png"), f"{tmp_path / 'a.png'}: holds no image/png"),
    ):
        assert refused(report.main, *argv, *(() if "--out" in argv else ("--out", out))).startswith(f"error: {message}")
    for path, value, message in (
        ("returns", [[0.0]], "returns: must be 3 numbers for each task and each seed"),
        ("solved", [[0.5]], "solved: must be lists of 3 numbers"),
        ("tasks", {"count": "x"}, "tasks.count: must be a whole number"),
    ):
        (run / "evaluation.json").write_text(json.dumps(evaluation(steady(), 4) | {path: value}))
        assert refused(report.main, run, "--out", out).startswith(
            f"error: {run / 'evaluation.json'}: {message}; make it"
        )
    assert not out.exists()


@pytest.fixture
def browser(tmp_path):
    """``browser(path, *flags)``: what Chromium prints of a page, and what it says meanwhile."""
    if BROWSER is None:
        pytest.skip("there is no Chromium here")

    def call(path, *flags):
        own = f"--user-data-dir={tmp_path / 'browser'}"
        command = [BROWSER, *FLAGS.split(), own, *flags, "--dump-dom", path.as_uri()]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert found.returncode == 0, found.stderr
        return found.stdout, [line for line in found.stderr.splitlines() if "CONSOLE" in line]

    return call


PROBE = """<script>
const svg = document.querySelector("figure.curves svg"), box = svg.getBoundingClientRect();
const readout = document.querySelector(".readout");
svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 2 }));
const pointed = readout.textContent;
document.querySelector(".toggles button").click();
const hidden = [...svg.querySelectorAll("g")].filter((one) => one.style.display === "none").map((one) => one.id);
svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
const page = document.documentElement, width = [window.innerWidth, page.scrollWidth - page.clientWidth];
parent.postMessage(JSON.stringify({ width, pointed, hidden, moved: readout.textContent }), "*");
</script>"""
FRAME = """<iframe src="report.html" width="400" height="900" style="border: 0"></iframe>
<script>
addEventListener("message", (event) => document.body.append(event.data));
</script>"""


def test_a_browser_shows_it_without_an_error_and_no_wider_than_a_telephone(made, reported, browser, tmp_path):
    runs = [made("a"), made("b", "anil"), made("a-run-whose-name-is-long-" + 60 * "x", inner_rate=0.25)]
    text = reported(*runs, "--note", 200 * "y")
    path = tmp_path / "report.html"
    dom, said = browser(path, "--window-size=1280,900")
    assert said == []
    assert dom.count('class="toggles"') == 3
    path.write_text(re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text) + PROBE)
    # A window of Chromium is 500 wide at least; a frame in it need not be.
    (tmp_path / "frame.html").write_text(FRAME)
    dom, said = browser(tmp_path / "frame.html", "--virtual-time-budget=5000")
    found = json.loads(html.unescape(re.search(r"</script>\s*(\{.*\})", dom)[1]))
    assert said == []
    assert found["width"] == [400, 0]
    assert found["pointed"].startswith("4,000 environment steps (adaptation included); before adaptation: −9; after ")
    assert found["pointed"].endswith("adaptation: −4; seed 0: −9 → −4; seed 1: −9 → −4")
    # The line and the band.
    assert sorted(found["hidden"]) == ["run-1-learning-mark-0", "run-1-learning-mark-6"]
    assert found["moved"].startswith("3,000 environment steps (adaptation included); after adaptation: −5; ")


def test_only_the_page_s_own_script_runs(made, reported, browser, tmp_path):
    text = reported(made("first"))
    (tmp_path / "report.html").write_text(
        text + '<script>document.title = "other"</script><img src="http://x.invalid/">'
    )
    dom, said = browser(tmp_path / "report.html")
    assert "<title>maml on navigation</title>" in dom
    assert len([line for line in said if "Content Security Policy" in line]) == 2

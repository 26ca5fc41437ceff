"""The package as it is installed: what a wheel holds, and that it works away from the repository."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import jaxmeta

PACKAGE = Path(jaxmeta.__file__).parent
ROOT = PACKAGE.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="no repository: it is installed already"
)

BUILD = """
import os, sys
from setuptools import build_meta
os.chdir(sys.argv[1])
build_meta.build_wheel(sys.argv[2])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The files of a wheel, unpacked."""
    import shutil

    setuptools = pytest.importorskip("setuptools")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"][0].rpartition("=")[2]
    if int(setuptools.__version__.partition(".")[0]) < int(needed.partition(".")[0]):
        pytest.skip(f"setuptools {setuptools.__version__} is older than the build needs")
    source, built, unpacked = (tmp_path_factory.mktemp(name) for name in ("source", "built", "unpacked"))
    shutil.copytree(PACKAGE, source / "jaxmeta", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, source, built], check=True, capture_output=True)
    (archive,) = built.glob("*.whl")
    with zipfile.ZipFile(archive) as file:
        file.extractall(unpacked)
    return unpacked


def test_a_wheel_holds_every_file_of_the_package(wheel):
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()}
    expected = {path for path in files if "__pycache__" not in path.parts}
    assert {
        path.relative_to(wheel / "jaxmeta") for path in (wheel / "jaxmeta").rglob("*") if path.is_file()
    } == expected
    assert {Path("py.typed"), Path("__init__.pyi"), Path("runs/presets/named.toml")} <= expected


def test_it_works_away_from_the_repository(wheel, tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from jaxmeta.commands.main import main; main(sys.argv[2:])"
    command = [sys.executable, "-c", code, str(wheel)]
    got = subprocess.run([*command, "config", "maml", "pendulum"], capture_output=True, text=True, cwd=tmp_path)
    assert got.returncode == 0, got.stderr
    assert tomllib.loads(got.stdout)["outer"]["decay"] == 200
    (scripts,) = wheel.glob("jaxmeta-*.dist-info/entry_points.txt")
    assert "jaxmeta = jaxmeta.commands.main:as_a_process" in scripts.read_text()
    (about,) = wheel.glob("jaxmeta-*.dist-info/METADATA")
    assert f"Version: {jaxmeta.__version__}" in about.read_text()


def test_every_file_of_the_package_is_in_the_repository():
    """A rule that ignores a folder's name may ignore one inside the package."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    got = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "jaxmeta", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert [name for name in got.stdout.splitlines() if "__pycache__" not in name] == []

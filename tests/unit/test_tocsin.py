"""The module `tocsin`: public names of all packages, loaded when they are used, from an installed wheel too."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tocsin
from tests.support.repository import PACKAGES, ROOT, tracked_files

TRADES = ROOT / "config" / "examples" / "trades.yaml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a wheel that is built from the tree installs."""
    pytest.importorskip("setuptools")
    tree, place = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("installed")
    for path in tracked_files():
        target = tree / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(place)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def python(installed: Path, code: str) -> str:
    """Return what a program prints that finds the wheel's modules before any others."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=installed.parent, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_wheel_has_everything_that_is_not_code(installed: Path) -> None:
    kept = {path.relative_to(ROOT) for path in tracked_files() if path.parts[len(ROOT.parts)] in PACKAGES}
    assert [str(path) for path in sorted(kept) if not (installed / path).is_file()] == []
    assert {"py.typed", "trades.yaml", "packages.log"} <= {path.name for path in kept}


def test_importing_tocsin_loads_nothing(installed: Path) -> None:
    code = "import sys, tocsin; print(tocsin.__file__, {'ray', 'polars', 'numpy', 'actors', 'raft'} & {*sys.modules})"
    assert python(installed, code) == f"{installed / 'tocsin.py'} set()"


def test_an_installed_tocsin_runs_a_job(installed: Path) -> None:
    code = f"import tocsin; print(tocsin.run({str(installed / 'config' / 'examples' / 'trades.yaml')!r}).height)"
    assert python(installed, code) == "8"


def test_what_type_checkers_read_is_what_python_finds() -> None:
    (block,) = [node for node in ast.parse((ROOT / "tocsin.py").read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    told = {alias.asname: (node.module, alias.name) for node in imports for alias in node.names}
    assert told == tocsin._PLACES
    assert set(told) == set(tocsin.__all__) <= set(dir(tocsin))


def test_every_public_name_is_there(installed: Path) -> None:
    assert python(installed, "import tocsin; print([n for n in tocsin.__all__ if not hasattr(tocsin, n)])") == "[]"


def test_a_run_gives_a_frame_and_goes_on_in_its_directory(tmp_path: Path) -> None:
    found = tocsin.run(tocsin.read_job(TRADES), tmp_path)
    assert found["metric"].to_list()[:3] == ["sum(qty) > 5", "avg(qty) > qty", "qty < 4"]
    assert (found.height, tocsin.run(TRADES, tmp_path).height) == (8, 8)


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'tocsin' has no attribute 'Engine'"):
        _ = tocsin.Engine


@pytest.mark.parametrize("value", [5, [], object(), b"x", 1.5])
def test_a_program_hears_what_is_no_argument(value: object) -> None:
    for use in (
        lambda: tocsin.run(value),  # type: ignore[arg-type]
        lambda: tocsin.run(TRADES, value),  # type: ignore[arg-type]
        lambda: tocsin.Schema.from_mapping(value),  # type: ignore[arg-type]
        lambda: tocsin.Schema.from_mapping({"time": value}),  # type: ignore[dict-item]
        lambda: tocsin.StreamTable(value),  # type: ignore[arg-type]
        lambda: tocsin.StreamTable(["time"], value),  # type: ignore[arg-type]
    ):
        with pytest.raises(tocsin.TocsinError):
            use()

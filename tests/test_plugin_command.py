"""`gateway plugin`: a package begun by it is right from the first minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main

ROOT = Path(__file__).parents[1]


def gateway(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, where the packages in `folder` are installed."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True, text=True, check=False, env=environ, cwd=folder, timeout=60,
    )  # fmt: skip


def install(folder: Path) -> str:
    """Leave what pip would, from the package's own metadata."""
    metadata = ConfigParser()
    metadata.read(folder / "setup.cfg")
    name, version = metadata["metadata"]["name"], metadata["metadata"]["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = metadata["options.entry_points"]["gateway.providers"].strip()
    (info / "entry_points.txt").write_text(f"[gateway.providers]\n{points}\n")
    assert (folder / f"{metadata['options']['py_modules']}.py").is_file()
    return name


@pytest.mark.parametrize("wire", ["chat", "own"])
def test_a_new_package_passes(tmp_path: Path, wire: str) -> None:
    """What `new` writes installs, loads, and passes the kit and its own tests at once."""
    folder = tmp_path / "it"
    made = CliRunner().invoke(
        main, ["plugin", "new", "my-teal", "--wire", wire, "--directory", str(folder)]
    )
    assert made.exit_code == 0, made.output
    assert "pytest --gateway-adapter my-teal" in made.output
    assert install(folder) == "my-teal-adapter"
    assert (ROOT / "gateway" / "templates" / "plugin" / f"{wire}.py.tmpl").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider",
         "--gateway-adapter", "my-teal"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "failed" not in done.stdout
    exact = "chat: splits_are_exact" if wire == "chat" else "wire: reader_is_exact"
    assert f"PASSED ::my-teal: {exact}" in done.stdout
    assert "test_the_request" in done.stdout
    checked = gateway("plugin", "check", "my-teal", folder=folder)
    assert checked.returncode == 0
    assert checked.stdout == "The adapter 'my-teal' of my-teal-adapter loads.\n"
    listed = json.loads(gateway("plugin", "list", "--json", folder=folder).stdout)
    (mine,) = (row for row in listed if row["name"] == "my-teal")
    assert mine == {
        "name": "my-teal", "package": "my-teal-adapter", "version": "0.1.0", "contract": 1,
        "operations": ["chat"] if wire == "chat" else [], "wire": wire == "own", "state": "loads",
    }  # fmt: skip
    again = gateway("plugin", "new", "my-teal", folder=folder)
    assert again.returncode == 1
    assert "installed already, by my-teal-adapter" in again.stderr


@pytest.mark.parametrize(
    "name",
    ["", "Teal", "1teal", "teal_x", "teal--x", "-teal", "teal-", "../x", "a b", "é", "x" * 41],
)
def test_bad_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A name that could not be a module or a folder is refused, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["plugin", "new", "--", name])
    assert done.exit_code == 1
    assert "is no name for an adapter" in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing folder, file or link is never written to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-adapter").mkdir()
    (tmp_path / "b-adapter").write_text("mine")
    (tmp_path / "c-adapter").symlink_to(tmp_path / "nowhere")
    for name in "abc":
        done = CliRunner().invoke(main, ["plugin", "new", name])
        assert done.exit_code == 1
        assert "exists already" in done.output
    assert list((tmp_path / "a-adapter").iterdir()) == []
    assert (tmp_path / "b-adapter").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_name_that_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two adapters of one name would be refused, so it is not begun."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["plugin", "new", "sim"])
    assert done.exit_code == 1
    assert "installed already, by isthmus-gateway" in done.output


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is told, without a stack."""
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file" / "x")
    done = CliRunner().invoke(main, ["plugin", "new", "teal", "--directory", where])
    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_one_that_does_not_load(tmp_path: Path) -> None:
    """It is listed with the reason, and `check` ends with 1."""
    (tmp_path / "setup.cfg").write_text(
        "[metadata]\nname = bad\nversion = 2\n[options]\npy_modules = bad_adapter\n"
        "[options.entry_points]\ngateway.providers =\n    bad = bad_adapter:ADAPTER\n"
    )
    (tmp_path / "bad_adapter.py").write_text("1 / 0")
    install(tmp_path)
    checked = gateway("plugin", "check", "bad", folder=tmp_path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr.startswith("The adapter 'bad' of bad did not load: ZeroDivisionError")
    listed = json.loads(gateway("plugin", "list", "--json", folder=tmp_path).stdout)
    states = {row["name"]: row["state"] for row in listed}
    assert states.pop("bad").startswith("did not load: ZeroDivisionError")
    assert set(states.values()) == {"loads"}


def test_one_that_is_not_there() -> None:
    """`check` names those that are."""
    done = CliRunner().invoke(main, ["plugin", "check", "nope"])
    assert done.exit_code == 1
    assert "No installed package offers an adapter 'nope'. There are: " in done.output

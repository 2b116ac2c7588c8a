"""`gateway check`, `models` and `providers`: what a catalog and its adapters come to."""

from __future__ import annotations

import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway import plugins
from tests.cli.terminal import ROOT, invoke, run


def test_check(catalog: str, tmp_path: Path) -> None:
    """A good file is summed up; of a bad one every problem is told, with its line."""
    good = invoke("check", "--catalog", catalog)
    assert good.exit_code == 0
    assert "No credential yet for: keyless." in good.output
    assert "'not-installed' is not installed: no installed package offers it." in good.output
    assert "Provider foreign: 1 routes answer 501." in good.output
    summary = json.loads(invoke("check", "--catalog", catalog, "--json").stdout)
    assert (summary["ok"], summary["without_credential"]) == (True, ["keyless"])
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\nsurprise: 1\nproviders: {}\nmodels: {}\n")
    result = invoke("check", "--catalog", str(bad))
    assert result.exit_code == 1
    assert "bad.yaml:1" in result.output
    assert "bad.yaml:2" in result.output
    told = json.loads(invoke("check", "--catalog", str(bad), "--json").stdout)
    assert told["ok"] is False
    assert len(told["problems"]) >= 2
    missing = invoke("check", "--catalog", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 1
    assert "none.yaml" in missing.output


def test_a_misspelt_adapter(catalog: str, tmp_path: Path) -> None:
    """The one that was meant is named."""
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text(Path(catalog).read_text().replace("not-installed", "openia"))
    said = invoke("check", "--catalog", str(misspelt)).output
    assert "'openia' is not installed: no installed package offers it (did you mean" in said
    assert '"openai"' in said


def test_models_and_providers(catalog: str) -> None:
    """Both lists, for people and for scripts."""
    rows = json.loads(invoke("models", "--catalog", catalog, "--json").stdout)
    assert rows[0]["id"] == "fake-slug"
    assert rows[0]["price"]["input_per_mtok"] == "3.00"
    assert "fake-slug" in invoke("models", "--catalog", catalog).output
    rows = json.loads(invoke("providers", "--catalog", catalog, "--json").stdout)
    assert {row["id"]: row["credentials"] for row in rows}["keyless"] == 0
    assert "keyless" in invoke("providers", "--catalog", catalog).output


def test_what_needs_no_credential_lacks_none(tmp_path: Path) -> None:
    """The list tells a provider without its key from one that wants none."""
    path = tmp_path / "catalog.yaml"
    path.write_text(
        "version: 1\nproviders:\n"
        '  free: {adapter: sim, base_url: "sim://local", needs_credential: false}\n'
        '  paid: {adapter: openai, base_url: "https://a.example", credentials: []}\n'
        "models: {}\n"
    )
    lines = invoke("providers", "--catalog", str(path)).output.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["-", "0"]


def test_the_shipped_catalog_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --catalog, and away from any catalog.yaml, the shipped file is used."""
    monkeypatch.chdir(tmp_path)
    assert len(json.loads(invoke("models", "--json").stdout)) > 100


def test_check_names_adapters_that_do_not_load(
    catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an adapter died of is told to the operator; two claims to one name are a problem."""
    (tmp_path / "broken_adapter.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [EntryPoint("not-installed", "broken_adapter:ADAPTER", "gateway.providers")]
    monkeypatch.setattr(plugins.Plugins.__init__, "__defaults__", (lambda: entries,))
    told = invoke("check", "--catalog", catalog)
    assert told.exit_code == 0
    assert "'not-installed' did not load: ModuleNotFoundError" in told.output
    assert "no_such_library" in told.output
    entries.append(EntryPoint("not-installed", "other:ADAPTER", "gateway.providers"))
    told = invoke("check", "--catalog", catalog)
    assert told.exit_code == 1
    assert "'not-installed' is offered by 2 packages" in told.output
    assert len(told.output.splitlines()) == 1
    told = invoke("check", "--catalog", catalog, "--json")
    assert (told.exit_code, json.loads(told.stdout)["ok"]) == (1, False)


def test_two_packages_with_one_adapter(catalog: str, db: str, tmp_path: Path) -> None:
    """A server that finds two claims to one name says so and does not start."""
    for package in ("one", "two"):
        folder = tmp_path / "site" / f"{package}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(
            f"[gateway.providers]\nnot-installed = {package}_adapter:ADAPTER\n"
        )
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}"}
    for command in (["serve", "--db", db, "--port", "0"], ["check"]):
        done = run(*command, "--catalog", catalog, environ=environ)
        assert done.returncode == 1
        assert "'not-installed' is offered by 2 packages" in done.stderr
        assert "one_adapter:ADAPTER, two_adapter:ADAPTER" in done.stderr

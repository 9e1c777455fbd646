"""Paths among a study's arguments, from the folder in which it was made and from others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.study.kept_paths import PATHS, absolute_paths, find_paths


def test_paths_are_found_again_and_names_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in ("library", "train", "reinforce", "runs/teacher"):
        (here / folder).mkdir(parents=True)
    there.mkdir()
    for file in ("a.json", "scores.json"):
        (here / file).touch()
    monkeypatch.chdir(here)
    names = {"space": "library", "strategy": "reinforce", "evaluator": "library", "teacher": "train"}
    arguments = {**names, "library": "library", "table": ["a.json", "epyc-float32", str(here / "a.json")]}
    arguments[PATHS] = absolute_paths(arguments)
    assert find_paths(arguments) == arguments, "from here, relative paths stay"
    monkeypatch.chdir(there)
    found = find_paths(arguments)
    assert {name: found[name] for name in names} == names
    assert found["library"] == str(here / "library")
    assert found["table"] == [str(here / "a.json"), "epyc-float32", str(here / "a.json")]
    monkeypatch.chdir(here)
    others = {"teacher": "runs/teacher", "evaluator": "tabular:scores.json"}
    others[PATHS] = absolute_paths(others)  # type: ignore[assignment]
    monkeypatch.chdir(there)
    assert find_paths(others)["teacher"] == str(here / "runs" / "teacher")
    assert find_paths(others)["evaluator"] == f"tabular:{here / 'scores.json'}"


def test_nothing_is_kept_without_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_paths({"space": "mnasnet-32", "table": (), "teacher": None, "library": "gone"}) == {}
    assert find_paths({"table": ["gone.json"], PATHS: {"table": ["/gone/too.json"]}})["table"] == ["gone.json"]

"""`mnas profile --from`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.latency.table import LatencyTable
from mnas.space import save_space
from tests.commands import run
from tests.latency.tables import make_table
from tests.profiling.fakes import FakeDevice
from tests.profiling.test_transfer import SPACE, another_device

Words = tuple[object, ...]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    monkeypatch.setattr("mnas.devices.registry.open_device", lambda *_, **__: FakeDevice())
    save_space(SPACE, tmp_path / "space.toml")
    another_device().save(tmp_path / "known.json")
    return ("profile", "--space", tmp_path / "space.toml", "--out", tmp_path / "new.json", "--minutes", 0.05)


def test_it_says_how_good_the_table_is_and_what_more_networks_bring(words: Words, tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    said = " ".join(run(*words, "--from", known, "--networks", 6).split())
    assert f"blocks, from {known} by " in said
    assert "Report card, on 6 measured networks, each predicted by the others" in said
    assert "One factor for all blocks would be" in said
    assert "With --networks 12 about" in said
    assert LatencyTable.load(tmp_path / "new.json").report_card.num_networks == 6  # type: ignore[union-attr]
    other = replace(another_device(), configuration=replace(another_device().configuration, cpu="another CPU"))
    other.save(tmp_path / "other.json")
    (tmp_path / "new.json.networks.log").unlink()
    again = (*words, "--from", known, "--from", tmp_path / "other.json", "--networks", 4)
    with pytest.raises(InputError, match="--force"):
        run(*again)
    both = json.loads(run(*again, "--force", "--json"))
    assert both["transfer"]["num_networks"] == 4
    assert both["transfer"]["source"] in (str(known), str(tmp_path / "other.json"))
    assert both["transfer"]["margin_at_twice"] > 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--networks", 10), "--networks is for --from TABLE"),
        (("--from", "known.json", "--device", "local", "--device", "adb"), "--from measures one device"),
        (("--from", "nothing.json"), "cannot read"),
        (("--from", "space.toml"), "latency table"),
        (("--from", "small.json"), "cannot price the networks of small"),
    ],
)
def test_what_it_does_not_take(
    words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: Words, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = dict(list(make_table(SPACE).entries.items())[:20])
    make_table(SPACE, entries=entries).save(tmp_path / "small.json")
    with pytest.raises(InputError, match=message):
        run(*words, *more)
    assert not (tmp_path / "new.json").exists()

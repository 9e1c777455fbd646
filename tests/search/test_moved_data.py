"""Studies and trainings go on wherever they and their images are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnas.arch import zoo
from mnas.data.dataset import DataSource
from mnas.experiments.reproduce import reproduce_study
from mnas.report.facts import load_report_data
from mnas.search.options import SearchOptions, changed_options
from mnas.search.session import run_study
from mnas.space.files import load_space, save_space
from mnas.study.study import Study
from mnas.train.trained_network import Trained
from tests.latency.tables import make_table

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images in the working folder."""
    for label in ("cats", "dogs"):
        (tmp_path / "here" / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "here" / "photos" / label / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "there").mkdir()
    return tmp_path / "here" / "photos"


@pytest.mark.tensorflow
def test_a_study_goes_on_from_another_folder_and_with_moved_images(photos, monkeypatch):
    short = {"trials": 1, "batch": 1, "proxy_steps": 1, "finalists": 1, "final_steps": 1, "retrain_seeds": 0}
    options = SearchOptions(space="mnasnet-16", data="photos", strategy="random", baseline=False, **short)
    run_study(options, "study")
    study = Path("study").absolute()
    arguments = json.loads((study / "study.json").read_text())["arguments"]
    assert (arguments["data"], arguments["data_path"]) == ("photos", str(photos))
    assert "data_path" not in changed_options(arguments)
    monkeypatch.chdir("../there")
    assert SearchOptions.from_dict(arguments).data == str(photos)
    moved = photos.rename(photos.parent.parent / "moved")
    again = SearchOptions.from_dict(arguments, trials=2, data=str(moved))
    assert run_study(again, study, resume=True)["num_trials"] == 2


def steady(architecture):
    return 0.5


def test_a_study_finds_the_files_that_it_was_made_with_from_another_folder(photos, monkeypatch, caplog):
    space = load_space("mnasnet-16")
    save_space(space, Path("own.toml"))
    make_table(space).save(Path("phone.json"))
    made_of = {
        "space": "own.toml",
        "table": ["phone.json"],
        "budget_ms": [100.0],
        "evaluator": f"python:{__name__}:steady",
    }
    run_study(SearchOptions(**made_of, strategy="random", baseline=False, trials=2, batch=1), "study")
    study = Path("study").absolute()
    monkeypatch.chdir("../there")
    opened = Study.open(study)
    assert opened.arguments["table"] == [str(study.parent / "phone.json")]
    assert reproduce_study(study).compared["trials"] == 2
    assert run_study(replace(SearchOptions.of(opened), trials=3), study, resume=True)["num_trials"] == 3
    assert load_report_data(opened).targets[0].table is not None
    assert not caplog.text


def test_a_trained_network_finds_its_images_from_another_folder(photos, monkeypatch):
    fingerprint = DataSource("photos").load(16).fingerprint
    data = {"name": "photos", "seed": 0, "limit": None, "validation_share": 0.15, "fingerprint": fingerprint}
    trained = Trained(Path("run"), replace(zoo("mnasnet-a1"), resolution=16), {"configuration": {"data": data}})
    assert trained.load_data().num_classes == 2
    monkeypatch.chdir("../there")
    trained.training["data_path"] = str(photos)
    assert trained.load_data().fingerprint == fingerprint

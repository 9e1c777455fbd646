"""`mnas space around`, and searches on a space that chooses the resolution."""

import json
from dataclasses import replace

import pytest

from mnas.arch.codec import architecture_to_json
from mnas.arch.zoo import zoo
from mnas.cli.options import read_resolutions
from mnas.errors import InputError
from mnas.space import check_fits_teacher, load_space, save_space
from mnas.study.study import Study
from tests.commands import run
from tests.latency.tables import make_table
from tests.spaces import small_space


def test_the_space_around_a_zoo_network_is_shown_and_written(tmp_path):
    out = tmp_path / "lite0.toml"
    options = ["--resolutions", "96,128", "--kernel-sizes", "3,5", "--expansion-shares", "0.5,1", "--classes", 5]
    text = run("space", "around", "efficientnet-lite0", *options, "--out", out)
    assert "stage16.block" in text
    assert "128, 96" in text
    assert str(out) in text
    space = load_space(str(out))
    assert (space.name, space.num_classes, space.resolutions) == ("around-efficientnet-lite0", 5, (128, 96))
    assert len(space.stages[1].blocks) == 4
    check_fits_teacher(space, zoo("efficientnet-lite0"))
    shown = json.loads(run("space", "show", out, "--json"))
    assert {**shown, "file": str(out)} == json.loads(
        run("space", "around", "efficientnet-lite0", *options, "--out", out, "--json")
    )


def test_a_trained_folders_classes_are_the_spaces(tmp_path):
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "architecture.json").write_text(architecture_to_json(replace(zoo("mobilenet-v2"), num_classes=7)))
    document = json.loads(run("space", "around", folder, "--json"))
    assert (document["name"], document["num_classes"], document["resolution"]) == ("around-teacher", 7, 224)
    assert "resolutions" not in document


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "'nobody' is not an architecture"),
        (["mobilenet-v2", "--resolutions", "96,8"], r"resolution is 8 px.*at least 17 px"),
        (["mobilenet-v2", "--resolutions", "96,"], "--resolutions is '96,': expected whole numbers"),
        (["mobilenet-v2", "--kernel-sizes", "4"], "odd"),
        (["mobilenet-v2", "--expansion-shares", "half"], "--expansion-shares is 'half'"),
        (["mobilenet-v2", "--out", "space.json"], r"space.json: expected a name that ends with .toml"),
    ],
)
def test_bad_input_is_one_message(arguments, said):
    with pytest.raises(InputError, match=said):
        run("space", "around", *arguments)


SIZES = small_space(resolutions=(16, 8))


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_space(SIZES, "sizes.toml")
    make_table(SIZES).save("table.json")
    (tmp_path / "resolution_evaluator.py").write_text(
        "def accuracy(architecture):\n    return architecture.resolution / 100\n"
    )
    return "sizes.toml"


def test_a_search_chooses_the_resolution(space, tmp_path):
    options = ["--evaluator", "python:resolution_evaluator:accuracy", "--strategy", "evolution", "--trials", 60]
    budget = ["--table", "table.json", "--budget-ms", 1000]
    run("search", "--space", space, *options, *budget, "--study", "runs/sizes", "--no-baseline")
    study = Study.open(tmp_path / "runs" / "sizes")
    assert study.space == SIZES
    assert study.architecture().resolution == 16
    assert {trial.architecture.resolution for trial in study.trials} == {16, 8}
    run("report", "runs/sizes", "--csv", "csv")
    header, *rows = (tmp_path / "csv" / "trials.csv").read_text().splitlines()
    assert header.split(",")[9] == "resolution"
    assert len(rows) == 60
    survey = ["space", "survey", space, "--table", "table.json", *options[:2], "--samples", 20, "--csv", "survey.csv"]
    assert json.loads(run(*survey, "--json"))
    assert {row.split(",")[-1] for row in (tmp_path / "survey.csv").read_text().splitlines()[1:]} == {"16", "8"}


@pytest.mark.parametrize("evaluator", ["proxy", "predictor"])
def test_evaluators_of_one_resolution_say_so(space, evaluator):
    with pytest.raises(InputError, match=rf"small chooses among \[16, 8\] px, and the evaluator {evaluator} trains at"):
        run(
            "search",
            "--space",
            space,
            "--evaluator",
            evaluator,
            "--data",
            "digits",
            "--trials",
            4,
            "--threads",
            0,
            "--study",
            "s",
        )


@pytest.mark.parametrize("sizes", ["96x128", "96,128x64", ""])
def test_what_is_not_the_side_of_a_square_is_refused_with_the_reason(sizes):
    with pytest.raises(InputError, match=r"--resolutions is .*networks take square RGB images"):
        read_resolutions(sizes)
    assert read_resolutions("96,128") == [96, 128]

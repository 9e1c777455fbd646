"""From images to files in one call: planned, resumed, reused; and the honest winner."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mnas.data.dataset import DataSource
from mnas.errors import InputError, MnasError
from mnas.experiments import design as module
from mnas.experiments.design import Design
from mnas.experiments.design_options import DesignOptions
from mnas.experiments.menu import EmptyMenuError
from mnas.profiling.meter import open_meter
from mnas.scaling.kept import find_weights
from mnas.space.around import space_around
from mnas.study.menu import TriedMenu, TriedNetwork
from mnas.study.study import Study
from mnas.train.trained_network import open_trained
from tests.latency.tables import CONFIGURATION, make_table
from tests.libraries import TEACHER

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def table(tmp_path):
    """A table of another machine, so that nothing is measured here."""
    space = space_around(TEACHER, kernel_sizes=(3, 5), resolutions=(8, 6))
    made = make_table(space)
    made = replace(made, configuration=replace(CONFIGURATION, device="adb", cpu="", model="a phone"))
    made.save(tmp_path / "table.json")
    return tmp_path / "table.json"


@pytest.fixture
def options(tiny_teacher, table):
    return DesignOptions(
        data="digits", budget_ms=0.02, table=str(table), teacher=str(tiny_teacher.folder), epochs=1, family=1
    )


@pytest.fixture
def published(monkeypatch):
    """What the menu finds; by default nothing."""
    found = []

    def try_menu(table, budget_ms, source, folder, *, wait_minutes, **rest):
        if not found:
            raise EmptyMenuError("no published network is that fast")
        menu, trained = found[0]
        folder.mkdir(exist_ok=True)
        (folder / str(menu.best.folder)).symlink_to(trained, target_is_directory=True)
        return menu

    monkeypatch.setattr(module, "try_menu", try_menu)
    return found


def test_the_plan_says_what_is_left(options, published, tmp_path):
    steps = Design(options, tmp_path / "out").steps()
    assert [step.name for step in steps] == ["table", "teacher", "library", "search", "menu", "files"]
    assert [step.seconds > 0 for step in steps] == [False, False, True, True, True, True]
    assert not (tmp_path / "out").exists(), "a plan writes nothing"


def test_a_menu_that_the_table_says_is_empty_takes_no_time(tmp_path):
    data = {"data": "digits", "teacher": "train", "resolution": 32, "table": "epyc-float32-mnasnet-32"}
    menu = Design(DesignOptions(**data, budget_ms=0.3), tmp_path / "out").steps()[4]
    assert menu.what == "no published network with weights at hand is within the budget, by the table"
    assert menu.seconds < 5


def test_everything_comes_out_and_is_not_made_again(options, published, tmp_path):
    notes, titles = [], []

    @contextmanager
    def display(title):
        titles.append(title)
        yield lambda share, what: None

    design = Design(options, tmp_path / "out", note=notes.append)
    document = design.run(display=display)
    winner = document["winner"]
    assert winner["predicted_ms"] <= options.budget_ms
    assert set(winner["files"]) == {"float32", "int8"}
    for path in winner["files"].values():
        assert Path(path).read_bytes()[4:8] == b"TFL3"
    assert 0 < winner["test_accuracy"] <= 1
    assert 0 < winner["int8_test_accuracy"] <= 1
    assert json.loads((design.target / "design.json").read_text()) == document
    assert [row["name"] for row in document["baselines"]] == [f"the teacher, {options.teacher}"]
    assert "no published network is that fast" in notes
    assert (design.study / "family" / "family.json").is_file()
    assert open_trained(design.study / "family" / "phi1").grown_from == str(find_weights(str(design.study)).folder)
    assert "Published networks" in titles

    log = (design.study / "trials.jsonl").read_bytes()
    again = Design(options, tmp_path / "out")
    assert not any(step.seconds for step in again.steps())
    assert again.run()["winner"] == winner
    assert (design.study / "trials.jsonl").read_bytes() == log

    other = Design(replace(options, budget_ms=0.03), tmp_path / "out")
    assert other.library == design.library, "a library serves every budget"
    assert other.target != design.target
    with pytest.raises(InputError, match=r"--epochs is 2, and the design in .* is with 1"):
        Design(replace(options, epochs=2), tmp_path / "out")
    assert Design(replace(options, epochs=None), tmp_path / "out").epochs == 1
    for name, value in (("family", 3), ("class_weights", "balanced"), ("augment", "shift"), ("max_train_images", 100)):
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is {value}, and the design in"):
            Design(replace(options, **{name: value}), tmp_path / "out")
    with pytest.raises(InputError, match=r"--seed is 5, and the design in .* is with 0"):
        Design(replace(options, seed=5), tmp_path / "out")


def test_a_published_network_that_is_better_wins(options, published, tiny_teacher, tmp_path, monkeypatch):
    waits = []

    class SlowDevice:
        def measure_files(self, contents):
            return [2 * options.budget_ms for _ in contents]

    def open_slow(*args, wait_minutes, **rest):
        waits.append(wait_minutes)
        assert open_meter(*args, wait_minutes=wait_minutes, **rest) is None, "the table is of another machine"
        return SlowDevice()

    monkeypatch.setattr(module, "open_meter", open_slow)
    options = replace(options, wait=2.5)
    design = Design(options, tmp_path / "out")
    row = TriedNetwork("mobilenet-v2-0.35", 8, 0.01, None, 0.5, 1.0, 0.9, "best")
    published.append((TriedMenu(options.budget_ms, (row,)), tiny_teacher.folder))
    notes = []
    document = Design(options, tmp_path / "out", note=notes.append).run()
    assert document["winner"]["name"] == "mobilenet-v2-0.35"
    assert document["winner"]["test_accuracy"] == tiny_teacher.training["test_accuracy"]
    assert any("The search did not beat mobilenet-v2-0.35" in note for note in notes)
    assert any("the winner takes 0.04 ms, more than the budget of 0.02 ms" in note for note in notes)
    assert Study.open(design.study).best() is not None
    assert waits == [2.5] == [Study.open(design.study).arguments["wait"]]
    how = {"runtime": "litert", "threads": 1, "cores": "", "delegate": "xnnpack"}
    assert document["device"] == {"device": "adb", "model": "a phone", **how}


def test_other_errors_of_the_menu_are_not_taken_for_an_empty_one(options, tmp_path, monkeypatch):
    """And published networks are measured beside the search's winner, if that was measured."""
    compared = []

    def try_menu(*args, beside, **rest):
        compared.append(beside)
        raise InputError("the record is damaged")

    monkeypatch.setattr(module, "try_menu", try_menu)
    design = Design(options, tmp_path / "out")
    with pytest.raises(InputError, match="the record is damaged"):
        design.run()
    file = design.study / "best.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"measured_ms": 0.017}))
    with pytest.raises(InputError, match="the record is damaged"):
        Design(options, tmp_path / "out").run()
    best = Study.open(design.study).best()
    assert compared == [None, (open_trained(design.study / best["trained"]).architecture, 0.017)]


def test_each_way_to_run_networks_is_measured_by_itself(options, tmp_path, monkeypatch):
    asked = []

    def open_device(spec, **how):
        asked.append((spec, how))
        raise MnasError("there is none")

    monkeypatch.setattr("mnas.experiments.design_plan.open_device", open_device)
    ways = [
        {},
        {"delegate": "gpu"},
        {"delegate": "gpu precision_loss_allowed=no"},
        {"delegate": "nnapi accelerator=qti-dsp"},
        {"delegate": "nnapi accelerator=qti_dsp"},
        {"runtime": "tflite-runtime"},
        {"threads": 4},
        {"cores": "4-6"},
    ]
    measured = [replace(options, table=None, device="adb", **way) for way in ways]
    designs = [Design(each, tmp_path / "out") for each in measured]
    assert designs[0].table.name == "table-adb-float32-1t.json", "as it was"
    assert designs[1].table.name == "table-adb-float32-1t-gpu.json"
    assert len({each.table for each in designs}) == len({each.target for each in designs}) == len(ways)
    with pytest.raises(MnasError, match="there is none"):
        Design(replace(measured[2], teacher="train", wait=3.0, cores="big"), tmp_path / "new")
    how = {"runtime": "litert", "threads": 1, "cores": "big", "delegate": "gpu precision_loss_allowed=no"}
    assert asked == [("adb", {"benchmark_binary": None, "wait_minutes": 3.0, **how})]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"delegate": "gpu"},
            r"--delegate is gpu, and .*table.json was measured with xnnpack: leave out --delegate, or",
        ),
        ({"threads": 4}, r"--threads is 4, and .*table.json was measured with 1"),
        ({"cores": "big"}, r"--cores is big, and .*table.json was measured with none"),
        ({"runtime": "tflite-runtime"}, r"--runtime is tflite-runtime, and .*table.json was measured with litert"),
    ],
)
def test_what_a_given_table_was_measured_without_is_refused(options, changes, said, tmp_path):
    with pytest.raises(InputError, match=said):
        Design(replace(options, **changes), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wait": -1}, "--wait is -1"),
        ({"budget_ms": 0}, "--budget-ms is 0"),
        ({"dtype": "float16"}, "--dtype"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"data": "no/such/folder"}, "no such folder"),
        ({"teacher": "resnet50"}, "the teacher is 'resnet50': expected a folder"),
        ({"minutes": -1}, "--minutes is -1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(options, changes, said, tmp_path):
    with pytest.raises(InputError, match=said):
        Design(replace(options, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_less_time_gives_fewer_epochs_and_then_says_so(options, tmp_path):
    notes = []
    slow = Design(replace(options, epochs=None, minutes=1), tmp_path / "out", note=notes.append)
    assert (slow.num_published, slow.epochs) == (1, 3)
    assert any("--minutes is 1; this takes about" in note for note in notes)
    ample = Design(replace(options, epochs=5, minutes=1000), tmp_path / "out")
    assert (ample.num_published, ample.epochs) == (2, 5)


def test_less_time_shortens_a_teacher_from_scratch_and_the_design_keeps_to_it(options, published, tmp_path):
    train = replace(options, teacher="train", table=None, epochs=None, resolution=32)
    usual = Design(train, tmp_path / "usual")
    assert usual.teacher_epochs is None
    short = Design(replace(train, minutes=1), tmp_path / "out")
    assert short.epochs == 3
    assert 5 <= short.teacher_epochs < 60
    assert usual.steps()[1].seconds > 2 * short.steps()[1].seconds
    short.write()
    assert Design(train, tmp_path / "out").teacher_epochs == short.teacher_epochs


@pytest.mark.parametrize("splits", [(), ("train", "test")])
def test_images_of_a_folder_are_counted_with_and_without_a_test_split(options, splits, tmp_path):
    photos = tmp_path / "photos"
    for split in splits or ("",):
        for label, colour in (("cat", "red"), ("dog", "blue")):
            (photos / split / label).mkdir(parents=True)
            for number in range(20):
                Image.new("RGB", (8 + number, 8), colour).save(photos / split / label / f"{number}.png")
    plan = Design(replace(options, data=str(photos)), tmp_path / "out")
    source = DataSource(str(photos)).load(8)
    assert abs(plan.num_images - len(source.train)) <= 1
    assert plan.num_classes == 2

import json
import multiprocessing

import numpy as np
import pytest

from mnas.errors import InputError, MnasError
from mnas.study.study import Study, first_difference, locked
from mnas.study.winner import winner_to_dict
from mnas.trial import Measurement, Trial
from tests.spaces import small_space

CONFIG = {"seed": 0, "strategy": {"name": "random"}, "tables": [{"sha256": "ab", "budget_ms": 3.0}]}


def test_what_was_created_is_opened_again(tmp_path):
    made = Study.create(tmp_path / "study", CONFIG, {"trials": 7})
    opened = Study.open(tmp_path / "study")
    assert opened.config == CONFIG
    assert opened.arguments == {"trials": 7}
    assert opened.made_with == made.made_with
    assert {"python", "mnas", "tensorflow", "numpy", "num_cpus"} <= set(opened.made_with)
    assert opened.trials == []
    assert opened.best() is None


def test_a_study_is_not_overwritten(tmp_path):
    Study.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match="holds a study already: add --resume"):
        Study.create(tmp_path, CONFIG)


def test_a_folder_of_other_things_and_a_file_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and holds no study"):
        Study.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match="is a file"):
        Study.create(tmp_path / "thesis.txt", CONFIG)
    with pytest.raises(InputError, match="holds no study"):
        Study.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1 now"),
        ({"strategy": {"name": "ppo"}}, "strategy.name was 'random' and is 'ppo' now"),
        ({"tables": [{"sha256": "ab", "budget_ms": 4.0}]}, r"tables\[0\].budget_ms was 3.0 and is 4.0 now"),
        ({"tables": []}, "tables was "),
        ({"data": "digits"}, "data was None and is 'digits' now"),
    ],
)
def test_another_configuration_is_refused_with_its_first_difference(tmp_path, change, message):
    Study.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match=message):
        Study.resume(tmp_path, {**CONFIG, **change})
    assert Study.resume(tmp_path, CONFIG).config == CONFIG


def test_equal_documents_have_no_difference():
    assert first_difference(CONFIG, dict(reversed(CONFIG.items()))) is None


def test_resume_without_a_study_starts_one(tmp_path):
    assert Study.resume(tmp_path / "new", CONFIG).config == CONFIG


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "mnas.study", "version": 99}', '{"format": "other"}'])
def test_a_broken_study_file_is_an_error(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match="study"):
        Study.open(tmp_path)


def _hold(folder, ready, done):
    with locked(folder):
        ready.set()
        done.wait(30)


def test_a_second_process_is_told_who_works_on_the_study(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(MnasError, match=f"is being worked on by process {holder.pid} on"), locked(tmp_path):
        pass
    done.set()
    holder.join(30)
    with locked(tmp_path):
        pass


def test_architectures_by_number_and_the_winner(tmp_path, space):
    study = Study.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match="no winner yet, 0 trials are done"):
        study.architecture()
    architectures = [space.decode([choice] + [0] * (len(space.decisions) - 1)) for choice in range(3)]
    for number, architecture in enumerate(architectures):
        study.log("trials").append(Trial(number, architecture, Measurement(0.5, (), 1, 1), 0.5))
    assert study.architecture("2") == architectures[2]
    with pytest.raises(InputError, match="no trial '9': expected a number from 0 to 2"):
        study.architecture("9")
    best = winner_to_dict(study.trials[1], longer=False)
    (tmp_path / "best.json").write_text(json.dumps(best))
    assert study.architecture() == architectures[1]


@pytest.mark.parametrize("name", ["confirmed", "finalists", "baseline_finalists"])
def test_chosen_networks_keep_the_numbers_of_a_long_search(tmp_path, name):
    """Of 2,000 trials the last may be the best; a longer search may give the number of another network away."""
    study, rng = Study.create(tmp_path / "study", CONFIG), np.random.default_rng(0)
    space = small_space()
    chosen = [Trial(number, space.sample(rng), Measurement(0.5, (), 1, 1), 0.5) for number in (1999, 2000, 2000)]
    for trial in chosen:
        study.log(name).append(trial)
    assert study.log(name).read() == chosen
    study.log("trials").append(chosen[0])
    with pytest.raises(InputError, match="has 1 trials, and one of them has the number 1999: was the file"):
        study.log("trials").read()


def test_data_may_have_moved_and_must_be_the_same(tmp_path):
    data = {"name": "photos", "classes": 3, "fingerprint": "ab"}
    Study.create(tmp_path, {**CONFIG, "data": data, "evaluator": {"data": data}})
    moved = {**data, "name": "/mnt/disk/photos"}
    assert Study.resume(tmp_path, {**CONFIG, "data": moved, "evaluator": {"data": moved}}).config["data"] == data
    other = {**data, "fingerprint": "cd"}
    with pytest.raises(InputError, match=r"data.fingerprint was 'ab' and is 'cd' now"):
        Study.resume(tmp_path, {**CONFIG, "data": other, "evaluator": {"data": data}})


def test_a_study_that_is_resumed_keeps_where_its_data_are_now(tmp_path):
    config = {**CONFIG, "data": {"name": "photos", "classes": 3, "fingerprint": "ab"}}
    Study.create(tmp_path, config, {"data": "photos", "data_path": "/a/photos", "trials": 10})
    for place in ({"data": "/b/images", "data_path": "/b/images"}, {"data": "s3://bucket/images"}):
        Study.resume(tmp_path, config, {**place, "trials": 20})
        assert Study.open(tmp_path).arguments == {**place, "trials": 10}
        assert Study.open(tmp_path).config == config
    with pytest.raises(InputError):
        Study.resume(tmp_path, {**CONFIG, "data": {**config["data"], "fingerprint": "cd"}}, {"data": "others"})
    assert Study.open(tmp_path).arguments["data"] == "s3://bucket/images"


def test_a_study_that_is_resumed_from_another_folder_keeps_its_relative_path(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    config = {**CONFIG, "data": {"name": "photos", "classes": 3, "fingerprint": "ab"}}
    arguments = {"data": "photos", "data_path": str(tmp_path / "photos")}
    Study.create(tmp_path / "study", config, arguments)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = str(tmp_path / "photos")
    Study.resume(tmp_path / "study", config, {"data": found, "data_path": found})
    assert Study.open(tmp_path / "study").arguments == arguments


def test_a_name_without_a_fingerprint_counts():
    assert first_difference({"name": "a"}, {"name": "b"}) == "name was 'a' and is 'b' now"

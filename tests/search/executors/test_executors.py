"""One contract for every executor: the trials of a sequential run, whoever judges them and whoever dies."""

import importlib.util
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.errors import InputError, MnasError
from mnas.profiling.on_ray import check_attached
from mnas.profiling.parallel import run_profiles
from mnas.search.executor import LocalExecutor
from mnas.search.executors.process_pool import ProcessExecutor
from mnas.search.executors.worker import Job, make_request
from mnas.search.loop import run_trials
from mnas.strategies.registry import make_strategy
from mnas.study.trial_log import MemoryLog
from mnas.system.child import MOST_TRIES
from mnas.system.ray_cluster import num_places
from tests.profiling.test_parallel import jobs
from tests.search import moody
from tests.search.executors.slow import MAKE, make
from tests.spaces import small_space

NUM_TRIALS = 24
MISSING = "Ray is not installed: pip install 'mnas[ray]'"


def _ray(job, objectives, num_workers, **more):
    from mnas.search.executors.on_ray import RayExecutor

    return RayExecutor(job, objectives, num_workers=num_workers, **more)


def _processes(job, objectives, num_workers, **more):
    return ProcessExecutor(job, objectives, num_workers=num_workers, **more)


def _executors():
    ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=MISSING)
    return pytest.mark.parametrize(
        "kind", [_processes, pytest.param(_ray, marks=ray)], ids=["processes", "ray"], indirect=True
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One Ray runtime for all tests: it takes ten seconds to start. Gives a device that ends its worker, once."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    deadly = f"fake:{tmp_path_factory.mktemp('devices')}/flag"
    devices = {"fake:a": 1, "fake:bad": 1, deadly: 1}
    ray.init(
        address="local",
        num_cpus=3,
        num_gpus=1,
        resources=devices,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    yield deadly
    ray.shutdown()


@pytest.fixture
def kind(request):
    if request.param is _ray:
        request.getfixturevalue("cluster")
    return request.param


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Workers find the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def _search(objectives, executor):
    return run_trials(
        make_strategy("evolution", small_space(), seed=3),
        objectives["search"],
        MemoryLog(),
        num_trials=NUM_TRIALS,
        batch_size=6,
        executor=executor,
    )


def _facts(trials):
    return [(t.number, t.architecture, t.measurement, t.reward) for t in trials]


def _job(**arguments):
    arguments = {name: str(value) if name == "folder" else value for name, value in arguments.items()}
    return Job(MAKE, arguments, {"made": "here"})


@_executors()
def test_the_trials_are_those_of_a_sequential_run_though_a_worker_is_killed(kind, folder):
    objectives, _ = make({"folder": folder})
    expected = _facts(_search(objectives, LocalExecutor()))
    for call in folder.iterdir():
        call.unlink()
    with kind(_job(folder=folder, seconds=0.02, deadly=[3]), objectives, 2) as executor:
        found = _search(objectives, executor)
    assert _facts(found) == expected
    calls = [call.name.rpartition("-")[2] for call in folder.iterdir()]
    assert len(set(calls)) == 3, "two workers, and one in the place of the one that died"
    assert str(os.getpid()) not in calls
    networks = len({trial.architecture for trial in found})
    assert len(calls) == networks + 1, "no evaluation was done twice but the one that was lost"


@_executors()
def test_a_candidate_that_ends_every_worker_becomes_a_failed_trial(kind, folder):
    objectives, _ = make({"folder": folder})
    space = small_space()
    good, bad = (next(a for a in _samples(space) if a.stages[0].block.kernel_size == kernel) for kernel in (3, 5))
    with kind(_job(folder=folder, doomed=5), objectives, 2) as executor:
        found = {t.number: t for t in executor.run(objectives["search"], [(0, bad), (1, good)])}
        (later,) = executor.run(objectives["finals"], [(2, good)])
    assert f"given up after {MOST_TRIES} tries" in found[0].error
    assert found[1].measurement.accuracy == objectives["search"].evaluate(1, good).measurement.accuracy
    assert later.measurement.accuracy == pytest.approx(found[1].measurement.accuracy + 0.05)


@_executors()
def test_a_worker_with_other_data_does_not_begin(kind, folder):
    objectives, _ = make({"folder": folder})
    job = Job(MAKE, {"folder": str(folder)}, {"made": "elsewhere"})
    (candidate,) = _samples(small_space())[:1]
    with pytest.raises(MnasError, match="made was 'elsewhere' and is 'here' now"), kind(job, objectives, 1) as executor:
        list(executor.run(objectives["search"], [(0, candidate)]))


def _moody(folder, **more):
    return Job("tests.search.moody:make", {"folder": str(folder), **more}, {"made": "here"})


@_executors()
def test_a_hang_a_crash_and_an_error_and_it_goes_on(kind, folder, caplog):
    objectives, _ = moody.make({})
    names = ["SLOW", "GOOD", "HUNG", "DEAD", "WRONG", "GOOD"]
    candidates = [(number, getattr(moody, name)) for number, name in enumerate(names)]
    with kind(_moody(folder), objectives, 1, most_minutes={"search": 0.02}) as executor:
        (first,) = executor.run(objectives["search"], candidates[:1])
        found = {trial.number: trial for trial in [first, *executor.run(objectives["search"], candidates[1:])]}
    for late in (0, 2):
        assert found[late].error == "the evaluation took longer than 0.02 minutes and was ended"
        assert f"trial {late} failed: {found[late].error}" in caplog.text
    for good in (1, 5):
        assert found[good].measurement == objectives["search"].evaluate(good, moody.GOOD).measurement
        assert found[good].measurement.rungs == (0.25, 0.5, 0.75)
        assert found[good].measurement.accuracy == 0.75
    if kind is _processes:
        assert "ended by itself with code 7" in found[3].error
    assert f"given up after {MOST_TRIES} tries" in found[3].error
    assert found[4].error == "RuntimeError: out of order"


@_executors()
def test_longer_trainings_have_no_time_limit(kind, folder):
    objectives, _ = moody.make({})
    with kind(_moody(folder, seconds=1.5), objectives, 1, most_minutes={"search": 0.02}) as executor:
        (trial,) = executor.run(objectives["finals"], [(0, moody.GOOD)])
    assert trial.measurement.accuracy == 0.75


def test_a_candidate_that_is_stopped_is_not_trained_further(folder):
    objectives, _ = moody.make({})
    with ProcessExecutor(_moody(folder), objectives, num_workers=1, most_minutes={"search": 1.0}) as executor:
        (trial,) = executor.run(replace(objectives["search"], thresholds=(9.0, 9.0)), [(0, moody.GOOD)])
        assert trial.measurement.rungs == (0.25,)
        assert list(folder.iterdir()) == []
        (trial,) = executor.run(objectives["search"], [(0, moody.GOOD)])
    assert trial.measurement.rungs == (0.25, 0.5, 0.75)
    assert {path.name for path in folder.iterdir()} == {"went-past-0", "went-past-1", "went-past-2"}


def test_an_evaluator_that_cannot_be_made_there(folder):
    objectives, _ = moody.make({})
    job = _moody(folder, licence=False)
    with (
        pytest.raises(MnasError, match="no licence"),
        ProcessExecutor(job, objectives, num_workers=1, most_minutes={"search": 1.0}) as executor,
    ):
        list(executor.run(objectives["search"], [(0, moody.GOOD)]))


def test_one_process_gives_trials_in_the_order_asked_for(folder):
    objectives, _ = make({"folder": folder})
    candidates = list(enumerate(_samples(small_space())[:12]))
    with ProcessExecutor(_job(folder=folder), objectives, num_workers=1) as executor:
        found = [trial.number for trial in executor.run(objectives["search"], candidates)]
    assert found == list(range(12))


def test_nothing_of_the_current_folder_is_run(tmp_path, monkeypatch):
    for name in ("pickle", "struct", "runpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    objectives, _ = moody.make({})
    job = Job("tests.search.moody:make", {"curious": True}, {"made": "here"})
    with ProcessExecutor(job, objectives, num_workers=1, most_minutes={"search": 1.0}) as executor:
        (trial,) = executor.run(objectives["search"], [(0, moody.GOOD)])
    assert trial.measurement.accuracy == 0, "what an evaluator starts would inherit PYTHONSAFEPATH"
    assert "PYTHONSAFEPATH" not in os.environ
    assert not (tmp_path / "ran").exists()


def test_workers_end_with_the_executor(folder):
    objectives, _ = make({"folder": folder})
    candidates = list(enumerate(_samples(small_space())[:6]))
    with ProcessExecutor(_job(folder=folder, seconds=0.3), objectives, num_workers=2) as executor:
        list(executor.run(objectives["search"], candidates))
    pids = {int(call.name.rpartition("-")[2]) for call in folder.iterdir()}
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_request_says_what_was_changed_about_the_objective(folder):
    objectives, _ = make({"folder": folder})
    (candidate,) = _samples(small_space())[:1]
    request = make_request(objectives, objectives["finals"], 7, candidate)
    assert (request["objective"], request["changes"], request["number"]) == ("finals", {}, 7)


def _samples(space):
    return list(dict.fromkeys(make_strategy("random", space, seed=0).ask(40)))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=MISSING)
def test_devices_are_profiled_by_the_nodes_that_have_them(cluster, tmp_path):
    wanted = jobs(tmp_path / "all", "fake:a", "fake:bad", cluster)
    heard = []
    found = {
        outcome.job.device: outcome
        for outcome in run_profiles(wanted, kind="ray", progress=lambda share, what: heard.append(what))
    }
    assert Path(cluster.removeprefix("fake:")).exists(), "its worker ended itself"
    assert found["fake:a"].table == found[cluster].table is not None
    assert found["fake:bad"].error == "it is unplugged"
    assert heard
    with pytest.raises(InputError, match="no node of the cluster has fake:z"):
        list(run_profiles(jobs(tmp_path, "fake:z"), kind="ray"))
    with pytest.raises(InputError, match="local is this machine"):
        list(run_profiles(jobs(tmp_path, "local"), kind="ray"))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=MISSING)
@pytest.mark.usefixtures("cluster")
def test_a_worker_has_the_gpus_that_it_asks_for(folder, monkeypatch):
    from mnas.search.executors.on_ray import RayExecutor

    objectives, _ = make({"folder": folder})
    with pytest.raises(
        InputError, match=r"no node .* has 1 CPUs \(--threads\) and 2 GPUs .* nodes have 3 and 1; ask for"
    ):
        RayExecutor(_job(folder=folder), objectives, num_workers=1, gpus=2)
    (candidate,) = _samples(small_space())[:1]
    with RayExecutor(_job(folder=folder, shows=True), objectives, num_workers=1, gpus=1) as executor:
        list(executor.run(objectives["search"], [(0, candidate)]))
    assert [call.name.rpartition("-")[2] for call in folder.iterdir()] == ["0"], "the first GPU"


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=MISSING)
@pytest.mark.usefixtures("cluster")
def test_workers_that_have_no_place_are_left_out_and_it_is_said(folder, caplog):
    from mnas.search.executors.on_ray import RayExecutor

    objectives, _ = make({"folder": folder})
    candidates = list(enumerate(_samples(small_space())[:3]))
    with RayExecutor(_job(folder=folder), objectives, num_workers=2, gpus=1) as executor:
        found = list(executor.run(objectives["search"], candidates))
    assert sorted(trial.number for trial in found) == [0, 1, 2]
    assert "the cluster has places for 1 of 2 workers: the search uses 1" in caplog.text
    with pytest.raises(InputError, match=r"no node .* has 4 CPUs"):
        RayExecutor(_job(folder=folder), objectives, num_workers=1, threads=4)


class _Then(logging.Handler):
    """Does something at the first warning."""

    def __init__(self, what):
        super().__init__(logging.WARNING)
        self.what, self.said = what, []

    def emit(self, record):
        self.said.append(record.getMessage())
        if len(self.said) == 1:
            self.what()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=MISSING)
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_waits_for_a_place_is_told_of(folder):
    import ray

    from mnas.search.executors.on_ray import RayExecutor

    objectives, _ = make({"folder": folder})
    (candidate,) = _samples(small_space())[:1]
    other = ray.remote(num_cpus=3)(_Other).remote()
    ray.get(other.there.remote())
    handler = _Then(lambda: ray.kill(other))
    logging.getLogger("mnas").addHandler(handler)
    try:
        with RayExecutor(_job(folder=folder), objectives, num_workers=1, patience_s=0.3) as executor:
            (trial,) = executor.run(objectives["search"], [(0, candidate)])
    finally:
        logging.getLogger("mnas").removeHandler(handler)
    assert handler.said == [
        "workers that have not started: 1; they wait for a place in the cluster (see ray status) or load data"
    ]
    assert not trial.failed


class _Other:
    """Somebody else's work, which fills the cluster."""

    def there(self):
        return True


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "places"),
    [
        ([{"CPU": 4.0}, {"CPU": 7.0}], 2, 0.0, 5),
        ([{"CPU": 64.0, "GPU": 2.0}, {"CPU": 64.0}], 1, 1.0, 2),
        ([{"CPU": 64.0, "GPU": 2.0}], 1, 0.6, 2),
        ([{"CPU": 64.0, "GPU": 1.0}], 1, 0.1, 10),
        ([{"GPU": 8.0}, {"CPU": 3.0, "GPU": 8.0}], 1, 2.0, 3),
        ([{"CPU": 64.0}], 1, 0.0, 20),
    ],
)
def test_places_are_counted_node_by_node(nodes, cpus, gpus, places):
    assert num_places(nodes, cpus=cpus, gpus=gpus, most=20) == places


def test_a_node_without_cpus_profiles_nothing(tmp_path):
    wanted = jobs(tmp_path, "adb:A")
    check_attached(wanted, [{"CPU": 1.0, "adb:A": 1.0}])
    with pytest.raises(InputError, match="no node of the cluster has adb:A and a CPU"):
        check_attached(wanted, [{"adb:A": 1.0}, {"CPU": 8.0}])

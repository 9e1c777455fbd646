"""`mnas compare` and `mnas space` as people start them."""

import json
import subprocess
import sys
from itertools import product

import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.errors import InputError
from mnas.experiments.comparison import load_tensorflow_for
from mnas.experiments.comparison_options import ComparisonOptions, read_options
from tests.commands import all_commands

MACRO = {"".join(code): {"mean_acc": 60.0 + sum(map(int, code))} for code in product("012", repeat=8)}


def mnas(*args):
    return subprocess.run([sys.executable, "-m", "mnas", *args], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def macro(tmp_path_factory):
    path = tmp_path_factory.mktemp("macro") / "macro.json"
    path.write_text(json.dumps(MACRO))
    return path


def _compare(macro, *more):
    return mnas("compare", "--space", "nas-bench-macro", "--evaluator", f"tabular:{macro}", "--seeds", "2", *more)


def test_compare_as_json_at_two_numbers_of_trials(macro):
    options = ("--strategies", "random,evolution", "--budget-madds", "5e7", "--trials", "10", "--trials", "40")
    done = _compare(macro, *options, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["budgets"] == [{"budget": 5e7, "unit": "multiply-adds"}]
    assert [result["num_trials"] for result in document["results"]] == [10, 40]
    random, evolution = document["results"][1]["strategies"]
    assert (random["strategy"], random["against"]) == ("random", None)
    assert evolution["against"]["interval"][0] <= evolution["against"]["mean_difference"]
    assert len(evolution["best_by_seed"]) == 2
    assert "comparing" in done.stderr


def test_compare_says_plainly_who_did_not_beat_chance(macro):
    done = _compare(macro, "--strategies", "random,evolution", "--trials", "5")
    assert "over random, 95 %" in done.stdout
    assert "evolution does not surely beat random at 5 trials" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--strategies", "ramdom"], "ramdom"),
        (["--strategies", "random,tunas"], "the strategy tunas was removed together with the evaluator supernet"),
        (["--evaluator", "supernet"], "the evaluator supernet was removed"),
        (["--strategies", "random,differentiable"], "the strategy differentiable needs an accuracy that is a sum"),
        (["--strategies", ","], "one or more different"),
        (["--strategies", "random", "--budget-madds", "1"], "of 1 multiply-adds: the smallest takes 7.713e"),
        (["--strategies", "random", "--budget-madds", "-1"], "budget_madds is -1.0: expected a number above 0"),
        (["--strategies", "random", "--budget-madds", "1e8", "--budget-ms", "3"], "one or the other"),
    ],
)
def test_wrong_arguments_are_one_message(macro, more, said):
    done = _compare(macro, *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_space_show_as_json_gives_the_exact_ranges():
    done = mnas("space", "show", "nas-bench-macro", "--json")
    document = json.loads(done.stdout)
    assert (document["size"], document["num_table_keys"]) == (6561, 18)
    assert document["madds"] == [7_713_290, 105_660_938]  # all identities, and all wide blocks
    assert document["params"][0] == 387_882
    assert document["decisions"][1]["name"] == "stage2.block"


def test_space_show_says_it_in_words():
    done = mnas("space", "show", "mnasnet-16")
    assert "stage1.kernel_size" in done.stdout
    assert "keys in a latency table" in done.stdout


def test_space_survey_sets_two_spaces_side_by_side(macro, tmp_path):
    narrow = tmp_path / "narrow.toml"
    blocks = "\n".join(
        f'[[stages]]\nblocks = ["ir_r1_k3_s{stride}_e3_c{width}", "ir_r1_k5_s{stride}_e6_c{width}"]'
        for stride, width in ((2, 64), (1, 64), (2, 128), (1, 128), (1, 128), (2, 256), (1, 256), (1, 256))
    )
    top = "resolution = 32\nnum_classes = 10\ndropout = 0\nstem_filters = 32\nstem_stride = 1\nhead_filters = 1280\n"
    narrow.write_text(f'name = "narrow"\n{top}{blocks}\n')
    spaces = ("space", "survey", "nas-bench-macro", str(narrow), "--evaluator", f"tabular:{macro}", "--samples", "40")
    done = CliRunner().invoke(app, [*spaces, "--csv", str(tmp_path / "samples.csv"), "--json"])
    assert done.exit_code == 0, done.output
    wide, few = json.loads(done.stdout)
    assert (wide["size"], few["size"], few["num_samples"]) == (6561, 256, 40)
    assert few["mean_error"] < wide["mean_error"], "in this made-up table every layer that is left out costs a point"
    assert len((tmp_path / "samples.csv").read_text().splitlines()) == 81
    shown = CliRunner().invoke(app, spaces)
    assert "error, 50% of samples at most" in shown.stdout
    assert "nas-bench-macro: stage" in shown.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--csv", "x.csv"], "add --evaluator"),
        (["--table", "a.json", "--table", "b.json"], "2 tables for 1 spaces"),
        (["--evaluator", "proxy"], "needs --data"),
    ],
)
def test_wrong_arguments_of_a_survey(more, said):
    done = CliRunner().invoke(app, ["space", "survey", "nas-bench-macro", *more])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


TOML = """
space = "nas-bench-macro"
evaluator = "tabular:macro.json"
strategies = ["random", "evolution", "nsga2"]
budget_madds = 5e7
seeds = 2
trials = [10, 20]
"""


def _invoke(*more):
    return CliRunner().invoke(app, ["compare", *more])


def test_a_comparison_from_a_file_and_the_line_goes_before_it(macro, tmp_path):
    (macro.parent / "compare.toml").write_text(TOML)
    plot = tmp_path / "plot.html"
    done = _invoke("--file", str(macro.parent / "compare.toml"), "--trials", "12", "--plot", str(plot), "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [result["num_trials"] for result in document["results"]] == [12]
    assert [row["strategy"] for row in document["results"][0]["strategies"]] == ["random", "evolution", "nsga2"]
    assert document["num_seeds"] == 2
    assert "nsga2" in plot.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('flavour = "sweet"', "unknown fields flavour; known are strategies"),
        ('trials = "many"', "trials is 'many': expected a list"),
        ("seeds = true", "seeds is True: expected a whole number from 2"),
        ("proxy_steps = 1.5", "proxy_steps is 1.5: expected a whole number from 1"),
        ('evaluation_minutes = "long"', "evaluation_minutes is 'long': expected a number"),
        ("seeds = [", "is not a TOML file"),
        ("seeds = 3", "no evaluator is named"),
        ("budget_madds = nan", "budget_madds is nan: expected"),
        ("beta = -inf", "beta is -inf: expected"),
        ("beta = " + "[" * 3000, "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_one_message(tmp_path, text, said):
    (tmp_path / "compare.toml").write_text(text)
    done = _invoke("--file", str(tmp_path / "compare.toml"))
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_tables_of_a_file_are_beside_it_or_ready_made(tmp_path):
    lines = [
        'evaluator = "proxy"',
        'data = "digits"',
        'table = ["t.json", "epyc-int8", "own"]',
        "budget_ms = [1, 2, 3]",
    ]
    (tmp_path / "compare.toml").write_text("\n".join(lines))
    (tmp_path / "own").write_text("{}")
    options = read_options(tmp_path / "compare.toml", {})
    assert list(options.table) == [str(tmp_path / "t.json"), "epyc-int8", str(tmp_path / "own")]


def test_what_a_training_costs_comes_from_the_file_and_the_line(tmp_path):
    asked = {"proxy_steps": 7, "proxy_batch": 16, "rungs": 2, "max_train_images": 300, "evaluation_minutes": 1.5}
    lines = [f"{name} = {value}" for name, value in {**asked, "rungs": 3}.items()]
    (tmp_path / "compare.toml").write_text("\n".join(['evaluator = "proxy"', 'data = "digits"', *lines]))
    options = read_options(tmp_path / "compare.toml", {"rungs": 2}).search_options()
    assert {name: getattr(options, name) for name in asked} == asked
    words = {f"--{name.replace('_', '-')}" for name in asked}
    assert words <= {word for parameter in all_commands()["compare",].params for word in parameter.opts}


@pytest.mark.parametrize(
    ("evaluator", "strategy", "loads"),
    [
        ("predictor", "random", True),
        ("proxy", "random", True),
        ("tabular:none.json", "random", False),
        ("tabular:none.json", "ppo", True),
    ],
)
def test_what_needs_tensorflow_loads_it_quietly(monkeypatch, evaluator, strategy, loads):
    loaded = []
    monkeypatch.setattr("mnas.experiments.comparison.load_tensorflow", lambda **how: loaded.append(how))
    load_tensorflow_for(ComparisonOptions(evaluator=evaluator, data="digits", strategies=[strategy]))
    assert bool(loaded) is loads


def test_json_will_do_as_well(tmp_path):
    (tmp_path / "compare.json").write_text('{"seeds": 2, "evaluator": "tabular:none.json", "strategies": ["random"]}')
    done = _invoke("--file", str(tmp_path / "compare.json"))
    assert f"cannot read a table of accuracies from {tmp_path}" in str(done.exception)

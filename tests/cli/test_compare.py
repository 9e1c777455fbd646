"""`mnas compare` and `mnas space` as people start them."""

import json
import subprocess
import sys
from itertools import product

import pytest

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
        (["--strategies", ","], "one or more different"),
        (["--strategies", "random", "--budget-madds", "1"], "within 1 multiply-adds: the fastest takes 7.713e"),
        (["--strategies", "random", "--budget-madds", "-1"], "target latency"),
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

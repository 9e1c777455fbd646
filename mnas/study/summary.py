"""The results of a study as plain data: for the terminal, `--json` and the report page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from msgspec import Meta, Struct

from mnas.arch.codec import architecture_to_dict
from mnas.arch.walk import unroll
from mnas.checks import Share, convert
from mnas.study.menu import FOLDER, read_menu, to_plain
from mnas.study.study import Study
from mnas.study.verdict import Verdict, compare_to_baseline
from mnas.study.winner import ranked
from mnas.system.files import read_json
from mnas.trial import Trial

_DTYPES = ("float32", "float16", "dynamic", "int8")  # of mnas export


def report(study: Study, *, num_top: int = 10) -> dict[str, Any]:
    """Summarise a study.

    Args:
        study: finished or not.
        num_top: number of best trials to list.

    Returns:
        `best` (None while unfinished), `baseline` with its verdict, `optimum` (None without a block library), `menu`
        (published networks, fine-tuned; None without a block library), `top` and `front` as lists of trials, counts,
        seconds, `share_of_steps` that early stopping left to train (None without rungs), `notes` with warnings, and
        `next`, the commands to continue with.
    """
    trials = study.trials
    best = study.best()
    return {
        "study": str(study.folder),
        "space": study.require("space", "name"),
        "strategy": study.require("strategy", "name"),
        "budgets_ms": study.budgets_ms,
        "num_trials": len(trials),
        "num_failed": sum(trial.failed for trial in trials),
        "num_networks": len({unroll(trial.architecture) for trial in trials}),
        "seconds": sum(trial.seconds for name in ("trials", "finalists") for trial in study.log(name).read()),
        "share_of_steps": _share_of_steps(study, trials),
        "best": best,
        "baseline": _baseline(study, trials, best),
        "optimum": optimum(study, trials),
        "menu": menu(study, best),
        "top": [_row(trial) for trial in ranked(_distinct(trials))[:num_top]],
        "front": [_row(trial) for trial in front(trials)],
        "notes": notes(best),
        "next": next_commands(study, best),
    }


def _share_of_steps(study: Study, trials: Sequence[Trial]) -> float | None:
    num_rungs = (study.config.get("evaluator") or {}).get("rungs")
    return share_of_steps(_distinct(trials), num_rungs) if isinstance(num_rungs, int) and num_rungs > 1 else None


def notes(best: dict[str, Any] | None) -> list[str]:
    """Return warnings: a winner that is hardly better than guessing."""
    if best is None:
        return []
    classes = best["architecture"]["num_classes"]
    if best["accuracy"] >= 1.5 / classes:
        return []
    return [
        f"An accuracy of {best['accuracy']:.1%} is hardly better than guessing, {1 / classes:.1%} for {classes} "
        "classes: the trainings were too short to compare the networks. Search again with more --proxy-steps and "
        "--final-steps."
    ]


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the Pareto front of accuracy and latency (multiply-adds without a table), cheapest first."""
    kept: list[Trial] = []
    for trial in sorted((t for t in trials if not t.failed), key=lambda t: (_price(t), -_accuracy(t), t.number)):
        if not kept or _accuracy(trial) > _accuracy(kept[-1]):
            kept.append(trial)
    return kept


def _price(trial: Trial) -> float:
    found = trial.measurement
    if found is None:
        return float("inf")
    return found.madds if found.latency_ms is None else found.latency_ms


def _accuracy(trial: Trial) -> float:
    return 0.0 if trial.measurement is None else trial.measurement.accuracy


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    return list({unroll(trial.architecture): trial for trial in reversed(trials)}.values())


def _row(trial: Trial) -> dict[str, Any]:
    found = trial.measurement
    return {
        "number": trial.number,
        "accuracy": found and found.accuracy,
        "latency_ms": found and found.latency_ms,
        "reward": trial.reward,
        "params": found and found.params,
        "madds": found and found.madds,
        "architecture": architecture_to_dict(trial.architecture),
    }


def _baseline(study: Study, trials: Sequence[Trial], best: dict[str, Any] | None) -> dict[str, Any] | None:
    """Random search at equal cost and the verdict; None without a baseline."""
    drawn = study.log("baseline").read()
    if not drawn:
        return None
    found = study.best("baseline_best")
    name = study.require("strategy", "name")
    decided: Verdict | None = None
    sentence = f"The random baseline has {len(drawn)} trials and no winner."
    if best is not None and found is not None and best["trained_longer"] != found["trained_longer"]:
        sentence = "The random baseline's best was not trained: compare the predictions."
    elif best is not None and found is not None:
        decided = compare_to_baseline(best, found, trials, drawn, study.log("repeats").read())
        sentence = (
            f"{decided.sentence(name)} One search each, {len(trials)} and {len(drawn)} trials; winners' accuracies "
            f"{best['accuracy']:.4f} and {found['accuracy']:.4f}. Use mnas compare for several seeds."
        )
        if not decided.beaten:
            sentence += f" The network that random search found is in {study.folder}/baseline_best.json."
    return {
        "num_trials": len(drawn),
        "best": found,
        "beaten": decided and decided.beaten,
        "verdict": sentence,
        "difference": decided and asdict(decided),
        "mean_reward": _mean_reward(drawn),
        "search_mean_reward": _mean_reward(trials),
    }


def optimum(study: Study, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Return how near the search and its random baseline came to the optimum of the same score; None without one.

    The score is the library's predicted accuracy of networks within the latency budgets.

    Raises:
        InputError: if optimum.json is damaged.
    """
    path = study.folder / "optimum.json"
    if not path.is_file():
        return None
    record = convert(read_json(path, "a study's optimum"), _Optimum, str(path))
    best = record.accuracy
    name = study.require("strategy", "name")
    reached = {name: _best_within(study, trials), "random search": _best_within(study, study.log("baseline").read())}
    shares = {each: found / best for each, found in reached.items() if found is not None and best > 0}
    words = ", ".join(f"{each} reached {share:.1%} of it" for each, share in shares.items()) or "no trial is within"
    trust = ""
    if record.margin is not None and record.tau is not None:
        trust = (
            f" Nine of ten predictions are within {100 * record.margin:.1f} points of the stitched network's accuracy; "
            f"their rank correlation is {record.tau:.2f}."
        )
    return {
        "accuracy": best,
        "shares": shares,
        "margin": record.margin,
        "tau": record.tau,
        "sentence": f"The optimum within the budget is a predicted accuracy of {best:.2%}; {words}.{trust}",
    }


def menu(study: Study, best: dict[str, Any] | None) -> dict[str, Any] | None:
    """Compare the winner with published networks within the budget, as `mnas menu --study` fine-tunes them.

    Returns:
        `tried` (None if none was), `beaten` (None without both sides) and a `sentence`; None without a block library.

    Raises:
        InputError: if menu.json is damaged.
    """
    if (study.config.get("evaluator") or {}).get("kind") != "library":
        return None
    tried = read_menu(study.folder / FOLDER)
    if tried is None:
        folder = shlex.quote(str(study.folder))
        sentence = f"Not compared with published networks within the budget yet: mnas menu --study {folder}"
        return {"tried": None, "beaten": None, "sentence": sentence}
    other = tried.best
    latency_ms = other.predicted_ms if other.measured_ms is None else other.measured_ms
    sentence = (
        f"The best published network within the budget, {other.name} at {other.resolution} px, fine-tuned: "
        f"{other.validation_accuracy:.2%} on validation images at {latency_ms:.3g} ms."
    )
    beaten = None
    if best is not None and best["trained_longer"] and other.validation_accuracy is not None:
        beaten = best["accuracy"] > other.validation_accuracy
        sentence += f" The winner has {best['accuracy']:.2%}" + ("." if beaten else ": it did not beat it.")
    return {"tried": [to_plain(each) for each in tried.tried], "beaten": beaten, "sentence": sentence}


class _Optimum(Struct, frozen=True):
    accuracy: Share
    margin: Share | None = None
    tau: Annotated[float, Meta(ge=-1, le=1)] | None = None


def _best_within(study: Study, trials: Sequence[Trial]) -> float | None:
    budgets = study.budgets_ms
    found = [trial.measurement for trial in trials if trial.measurement is not None]
    within = [
        each.accuracy
        for each in found
        if all(ms <= budget for ms, budget in zip(each.latencies_ms, budgets, strict=False))
    ]
    return max(within, default=None)


def _mean_reward(trials: Sequence[Trial]) -> float | None:
    rewards = [trial.reward for trial in trials if trial.reward is not None]
    return sum(rewards) / len(rewards) if rewards else None


def next_commands(study: Study, best: dict[str, Any] | None) -> list[str]:
    """Return the commands to continue with."""
    folder = shlex.quote(str(study.folder))
    if best is None:
        return [f"mnas search --resume --study {folder}"]
    commands = [f"mnas cost {folder}"]
    tables = study.arguments.get("table")
    table = f" --table {shlex.quote(str(tables[0]))}" if isinstance(tables, list) and tables else ""
    commands[0] += table
    data = study.arguments.get("data")
    if "trained" in best:
        commands.append(f"mnas export {folder} --dtype {_dtype(study)} --out models/winner.tflite")
        commands.append(f"mnas bench models/winner.tflite{table}")
    elif data:
        commands.append(f"mnas train {folder} --data {shlex.quote(str(data))} --out runs/winner")
        commands.append(f"mnas export runs/winner --dtype {_dtype(study)} --out models/winner.tflite")
        commands.append(f"mnas bench models/winner.tflite{table}")
    trials = study.arguments.get("trials")
    more = 2 * (trials if isinstance(trials, int) else 100)
    commands.append(f"mnas search --resume --study {folder} --trials {more}")
    return commands


def _dtype(study: Study) -> str:
    """The data type to export: the first table's, else the one that finalists were scored with."""
    tables = study.config.get("tables")
    first = tables[0] if isinstance(tables, list) and tables and isinstance(tables[0], dict) else {}
    dtypes = [first.get("dtype"), study.arguments.get("score_dtype")]
    return next((dtype for dtype in dtypes if dtype in _DTYPES), "float32")


def share_of_steps(trials: Sequence[Trial], num_rungs: int) -> float:
    """Steps trained over the steps of as many full trainings, without failed trials; 1.0 if there are none."""
    reached = [len(trial.measurement.rungs) for trial in trials if trial.measurement is not None]
    return sum(2.0 ** (count - num_rungs) for count in reached) / len(reached) if reached else 1.0

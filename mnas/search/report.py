"""What a study found, as plain data: for the terminal, for `--json`, and for a page later."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.walk import unroll
from mnas.search.study import Study
from mnas.search.winner import ranked
from mnas.trial import Trial


def report(study: Study, *, num_top: int = 10) -> dict[str, Any]:
    """Everything about a study that a reader wants to know.

    Args:
        study: finished or not.
        num_top: how many of the best trials to list.

    Returns:
        `best` (None while unfinished), `baseline` with its verdict, `top` and `front` as lists of trials, counts,
        seconds, `notes` for what could be overlooked, and `next`, the commands to go on with.
    """
    trials = study.trials
    best = study.best()
    return {
        "study": str(study.folder),
        "space": study.config["space"]["name"],
        "strategy": study.config["strategy"]["name"],
        "budgets_ms": budgets_ms(study),
        "num_trials": len(trials),
        "num_failed": sum(trial.failed for trial in trials),
        "num_networks": len({unroll(trial.architecture) for trial in trials}),
        "seconds": sum(trial.seconds for name in ("trials", "finalists") for trial in study.log(name).read()),
        "best": best,
        "baseline": _baseline(study, trials, best),
        "top": [_row(trial) for trial in ranked(_distinct(trials))[:num_top]],
        "front": [_row(trial) for trial in front(trials)],
        "notes": notes(best),
        "next": next_commands(study, best),
    }


def notes(best: dict[str, Any] | None) -> list[str]:
    """What a reader could overlook: a winner that has learnt hardly more than to guess."""
    if best is None:
        return []
    classes = best["architecture"]["num_classes"]
    if best["accuracy"] >= 1.5 / classes:
        return []
    return [
        f"An accuracy of {best['accuracy']:.1%} is hardly better than guessing, {1 / classes:.1%} for {classes} "
        "classes: the networks were trained too shortly to be told apart. Search again with more --proxy-steps and "
        "--final-steps."
    ]


def budgets_ms(study: Study) -> list[float]:
    """The budget of each latency table."""
    return [table["budget_ms"] for table in study.config.get("tables", [])]


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in both accuracy and latency (multiply-adds without a table), cheapest first."""
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
    """Random search at equal cost and the verdict, None if there is none."""
    drawn = study.log("baseline").read()
    if not drawn:
        return None
    found = study.best("baseline_best")
    name = study.config["strategy"]["name"]
    beaten: bool | None = None
    verdict = f"The random baseline has {len(drawn)} trials and no winner."
    if best is not None and found is not None:
        beaten = best["reward"] > found["reward"]
        how = "beat" if beaten else "did NOT beat"
        verdict = (
            f"{name} {how} random search at equal cost: reward {best['reward']:.4f} against {found['reward']:.4f}, "
            f"accuracy {best['accuracy']:.4f} against {found['accuracy']:.4f}, {len(drawn)} random trials."
        )
        if not beaten:
            verdict += f" The network that random search found is in {study.folder}/baseline_best.json."
    return {
        "num_trials": len(drawn),
        "best": found,
        "beaten": beaten,
        "verdict": verdict,
        "mean_reward": _mean_reward(drawn),
        "search_mean_reward": _mean_reward(trials),
    }


def _mean_reward(trials: Sequence[Trial]) -> float | None:
    rewards = [trial.reward for trial in trials if trial.reward is not None]
    return sum(rewards) / len(rewards) if rewards else None


def next_commands(study: Study, best: dict[str, Any] | None) -> list[str]:
    """The exact commands to go on with."""
    folder = shlex.quote(str(study.folder))
    if best is None:
        return [f"mnas search --resume --study {folder}"]
    commands = [f"mnas cost {folder}"]
    tables = study.arguments.get("table") or []
    if tables:
        commands[0] += f" --table {shlex.quote(str(tables[0]))}"
    data = study.arguments.get("data")
    if data:
        commands.append(f"mnas train {folder} --data {shlex.quote(str(data))} --out runs/winner")
        commands.append("mnas export runs/winner --dtype float32 --out models/winner.tflite")
    more = 2 * int(study.arguments.get("trials") or 100)
    commands.append(f"mnas search --resume --study {folder} --trials {more}")
    return commands

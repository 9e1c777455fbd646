"""A process that runs one of mnas's modules: what it says, how it dies, and how it is ended."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from mnas.system.child import Child, DiedError, OvertimeError, open_answers, run_module

OURS = "tests.system.test_child"


def main():
    """The other side: does what it is asked for."""
    if len(sys.argv) > 1:
        sys.stdout.write(sys.argv[1] + sys.stdin.read())
        return
    answer = open_answers()
    print("what a library prints")
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("hold"):  # a process of its own that keeps the pipe open
            if os.fork() == 0:
                time.sleep(60)
            answer({"pid": os.getpid()})
        if "exit" in asked:
            sys.stderr.write("no licence\n")
            sys.stderr.flush()
            os._exit(asked["exit"])
        time.sleep(asked.get("seconds", 0))
        answer(asked)


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Children find the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def child():
    started = Child(OURS)
    yield started
    started.end()


def test_documents_go_both_ways(child):
    assert child.ask({"a": "ä" * 100_000}) == {"a": "ä" * 100_000}
    assert child.ask({"b": [1.5, None]}, seconds=60) == {"b": [1.5, None]}


def test_it_says_why_it_died(child):
    child.ask({})
    with pytest.raises(DiedError, match="ended by itself with code 7: no licence"):
        child.ask({"exit": 7})
    with pytest.raises(DiedError):
        child.ask({})


def test_it_is_ended_when_it_takes_too_long(child):
    child.ask({})
    with pytest.raises(OvertimeError, match=r"did not answer within 0\.2 s"):
        child.ask({"seconds": 600}, seconds=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    with pytest.raises(DiedError, match="ended by signal 9"):
        child.ask({})


def test_a_process_that_it_started_does_not_delay_that(child):
    child.ask({"hold": True})
    child.read()
    began = time.monotonic()
    with pytest.raises(OvertimeError):
        child.ask({"seconds": 600}, seconds=0.2)
    assert time.monotonic() - began < 50


def test_a_module_is_run_to_its_end():
    done = run_module(OURS, "said: ", content=b"this")
    assert (done.returncode, done.stdout) == (0, b"said: this")
    assert b"No module named" in run_module("tests.nowhere", content=b"").stderr

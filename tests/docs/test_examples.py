"""Every code block of the README and the guides: Python is run, shell lines are parsed, cheap ones are run.

JSON is read by the function that reads its format. A block with a title, such as `toml title="tiny.toml"`, is written
to that file in the folder where the page's blocks run. The lines of a block that follows `<!-- run -->` are run.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mnas.arch.codec import architecture_from_dict
from mnas.cli.main import app
from mnas.evaluators.tabular import TabularEvaluator
from mnas.latency.table import LatencyTable
from tests.commands import all_commands, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"(<!-- run -->\n)?^```([^\n]*)\n(.*?)^```", re.S | re.M)
# The function that reads a file, by its `format`.
READERS = {
    "mnas.accuracies": TabularEvaluator,
    "mnas.architecture": lambda path: architecture_from_dict(json.loads(path.read_text())),
    "mnas.latency_table": LatencyTable.load,
}
TENSORFLOW = ("docs/library.md",)  # pages whose Python trains
SHELL = ("", "bash", "sh", "console", "shell")


@dataclass(frozen=True)
class Block:
    kind: str
    title: str
    text: str
    run: bool


def _blocks(page):
    blocks = []
    for run, info, text in _FENCE.findall(page.read_text()):
        title = re.search(r'title="([^"]+)"', info)
        kind = (info.split() or [""])[0]
        blocks.append(Block(kind, title[1] if title else "", text, bool(run)))
    return blocks


def _lines(block):
    """The commands of mnas in a block: a backslash continues a line, a redirection or a pipe ends the command."""
    joined = re.sub(r"\s*\\\n\s*", " ", block.text)
    stripped = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    return [re.split(r"\s[|>]", line)[0] for line in stripped if line.startswith("mnas ")]


def _folder(page, tmp_path):
    """The folder where a page's blocks run: shipped tables, a model, a photograph, and the page's own files."""
    shutil.copytree(ROOT / "latency_tables", tmp_path / "latency_tables")
    for block in _blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    shutil.copy(ROOT / "models" / "fashion_mnist_xeon.float32.tflite", tmp_path / "model.tflite")
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "photo.jpg")
    return tmp_path


def _name(page):
    return page.relative_to(ROOT).as_posix()


_WITH_SHELL = [page for page in PAGES if any(block.kind in SHELL and _lines(block) for block in _blocks(page))]
_WITH_PYTHON = [page for page in PAGES if any(block.kind == "python" and not block.title for block in _blocks(page))]
_WITH_JSON = [page for page in PAGES if any(block.kind == "json" for block in _blocks(page))]
_WITH_RUN = [page for page in PAGES if any(block.run for block in _blocks(page))]


@pytest.mark.parametrize("page", _WITH_SHELL, ids=_name)
def test_shell_lines_are_lines_that_the_program_takes(page):
    for block in _blocks(page):
        if block.kind in SHELL:
            for line in _lines(block):
                if not line.endswith(("--help", "--install-completion", "--show-completion")):
                    parse(line)


def _marked(page):
    return pytest.param(page, marks=pytest.mark.tensorflow if _name(page) in TENSORFLOW else ())


@pytest.mark.parametrize("page", map(_marked, _WITH_PYTHON), ids=_name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(_folder(page, tmp_path))
    source = "\n\n".join(block.text for block in _blocks(page) if block.kind == "python" and not block.title)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{source}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", _WITH_RUN, ids=_name)
def test_cheap_lines_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(_folder(page, tmp_path))
    for block in _blocks(page):
        for line in _lines(block) if block.run else []:
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}: {done.exception} {done.output}"


@pytest.mark.parametrize("page", _WITH_JSON, ids=_name)
def test_json_is_what_its_reader_takes(page, tmp_path):
    for block in _blocks(page):
        if block.kind == "json":
            path = tmp_path / "block.json"
            path.write_text(block.text)
            READERS[json.loads(block.text)["format"]](path)


def test_every_guide_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in contents


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?\.md)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{_name(page)} links to {target}"


def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'mnas[docs]'")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install 'mnas[docs]'")
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    missing = [name for name in named if not (ROOT / "docs" / name).is_file()]
    if missing:
        pytest.skip(f"the contents name pages that are not written yet: {', '.join(missing)}")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    searched = (tmp_path / "site" / "api" / "search" / "index.html").read_text()
    assert "Proposes architectures and learns from trials" in searched, "docstrings are on the pages"


def test_options_in_the_text_exist():
    options = [option for command in all_commands().values() for option in command.params]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    known |= {"--help", "--debug", "--install-completion", "--show-completion"}
    for page in PAGES:
        for code in re.findall(r"`[^`]+`", _FENCE.sub("", page.read_text())):
            if "python -m" not in code:
                unknown = set(re.findall(r"--[a-z][a-z0-9-]+", code)) - known
                assert not unknown, f"{_name(page)} names options that no command has: {unknown}"

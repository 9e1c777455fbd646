"""How to run a study again: the command, and what its results depend on."""

from __future__ import annotations

import shlex
from typing import Any

from mnas.search.options import changed_options
from mnas.study.study import Study


def search_command(study: Study) -> str:
    """Return the `mnas search` line that makes the same study, with the options that differ from the defaults."""
    words = ["mnas", "search"]
    for name, value in changed_options(study.arguments).items():
        words += _option(name.replace("_", "-"), value)
    return shlex.join([*words, "--study", str(study.folder)])


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (f"--{name}", str(each))]


def provenance(study: Study) -> dict[str, str]:
    """Return what the study was made with, by name: versions, machine, seeds, hashes."""
    config = study.config
    facts = {name.replace("_", " "): str(value) for name, value in study.made_with.items()}
    facts["seed"] = str(config.get("seed", "unknown"))
    facts["batch"] = str(config.get("batch_size", "unknown"))
    data = config.get("data")
    if isinstance(data, dict):
        facts["data"] = f"{data.get('name')}, {data.get('classes')} classes, fingerprint {data.get('fingerprint')}"
    for number, table in enumerate(config.get("tables") or [], start=1):
        facts[f"latency table {number}"] = f"sha256 {table.get('sha256', 'unknown')}"
    if "space_fingerprint" in config:
        facts["space fingerprint"] = str(config["space_fingerprint"])
    return facts

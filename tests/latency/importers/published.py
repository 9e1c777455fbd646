"""Tables in the formats that others published, written here; and the real ones, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3].parent / "shared" / "data"
STAGES = ((2, 24), (2, 40), (2, 80), (1, 96), (2, 192))


def real_file(name: str) -> Path:
    """A published table beside the repository; skips the test where it is not."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"the published table {name} is not at ../shared/data")
    return path


def rows(times: dict[str, float], spread: str = "var") -> str:
    """The YAML of ProxylessNAS (`var`) and Once-for-All (`std`)."""
    return "".join(f"{name}:\n  count: 12\n  mean: {ms!r}\n  {spread}: 0.0004\n" for name, ms in times.items())


def proxylessnas_times() -> dict[str, float]:
    """Names as in ProxylessNAS's table, with times that are all different."""
    names = ["Conv-input:224x224x3-output:112x112x32", "Conv_1-input:7x7x320-output:7x7x1280"]
    names.append("Logits-input:7x7x1280-output:1000")
    names.append("expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0")
    size, filters = 112, 16
    for stride, wanted in (*STAGES, (1, 320)):
        for repeat in range(1 if wanted == 320 else 2):
            out = size // (1 if repeat else stride)
            for expand in (3, 6):
                for kernel in (3, 5, 7):
                    shapes = f"input:{size}x{size}x{filters}-output:{out}x{out}x{wanted}"
                    rest = f"kernel:{kernel}-stride:{size // out}-idskip:{int(filters == wanted)}"
                    names.append(f"expanded_conv-{shapes}-expand:{expand}-{rest}")
            size, filters = out, wanted
    return {name: 0.5 + number / 64 for number, name in enumerate(names)}


def once_for_all_times(resolution: int = 160) -> dict[str, float]:
    """Names as in Once-for-All's tables, with times that are all different."""
    half, size = resolution // 2, resolution // 2
    names = [f"Conv-input:{resolution}x{resolution}x3-output:{half}x{half}x24"]
    names.append(
        f"expanded_conv-input:{half}x{half}x24-output:{half}x{half}x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0"
    )
    filters = 24
    stages = ((2, 32, 0, 0), (2, 48, 1, 0), (2, 96, 0, 1), (1, 136, 1, 1), (2, 192, 1, 1))
    for stride, wanted, se, hs in stages:
        for repeat in range(2):
            out = size // (1 if repeat else stride)
            for expand in (3, 4, 6):
                for kernel in (3, 5, 7):
                    shapes = f"input:{size}x{size}x{filters}-output:{out}x{out}x{wanted}"
                    rest = f"kernel:{kernel}-stride:{size // out}-idskip:{repeat}-se:{se}-hs:{hs}"
                    names.append(f"expanded_conv-{shapes}-expand:{expand * filters}-{rest}")
            size, filters = out, wanted
    names += [f"Conv_1-input:{size}x{size}x192-output:{size}x{size}x1152", "Conv_2-input:1x1x1152-output:1x1x1536"]
    names += [f"AvgPool2D-input:{size}x{size}x1152-output:1x1x1152", "Logits-input:1x1x1536-output:1000"]
    return {name: 0.25 + number / 64 for number, name in enumerate(names)}


def single_path_times() -> dict[str, dict[str, float]]:
    """Single-Path NAS's runtime model, with times that are all different."""
    return {str(block): {str(choice): 1 + block / 8 + choice / 64 for choice in range(4)} for block in range(22)}


def single_path_json() -> str:
    """The same as a file."""
    return json.dumps(single_path_times())

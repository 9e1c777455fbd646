"""Data larger than the memory: `mnas data` and one epoch of `mnas train` on many photographs at 224 px.

The photographs are crops of those in a folder, in different brightness, some mirrored: 400x300 px, JPEG quality 75,
15 KB each. The network is small, so that loading is most of the work. Prints the seconds of each stage; of each child
process the memory at its highest, its own and with the pages of files that it mapped, which the system may drop at any
time; the size of the file of images; and the images a second of one thread and of all.

Run: python -m tools.bench.many_photographs --source shared/data/flowers/train [--photographs 100000] [--keep]

A second run goes on with the photographs that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.arch.codec import architecture_to_json, parse_stages
from mnas.arch.spec import Architecture
from mnas.system.files import write_atomically
from mnas.system.threads import map_in_order
from tools.command_line import make_parser

if TYPE_CHECKING:
    from PIL import Image

RESOLUTION = 224
SIZE = (400, 300)
_DECODED = 3000  # images whose decoding is timed, with one thread and with all
_POLL_S = 0.1
NETWORK = Architecture(
    parse_stages("ds_r1_k3_s2_c16 | ds_r1_k3_s2_c32 | ds_r1_k3_s2_c64 | ds_r1_k3_s2_c128"),
    stem_filters=8,
    head_filters=128,
    resolution=RESOLUTION,
)


@dataclass
class Watched:
    """A command that was run.

    Attributes:
        seconds: of all.
        own_gib: the most memory that was the process's own.
        all_gib: the most memory, with pages of files.
        lines: its output, each with the seconds since the start.
    """

    seconds: float = 0.0
    own_gib: float = 0.0
    all_gib: float = 0.0
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s; memory {self.own_gib:.2f} GiB, with pages of files {self.all_gib:.2f} GiB"


def make_photographs(source: Path, folder: Path, count: int) -> None:
    """Write photographs, by class, but those that are there."""
    originals = sorted(path for path in source.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not originals:
        raise SystemExit(f"{source} has no CLASS/*.jpg: expected a folder of photographs by class")
    random.Random(0).shuffle(originals)  # so that few photographs are of all classes
    shares = [(path, folder, range(number, count, len(originals))) for number, path in enumerate(originals)]
    for _ in map_in_order(_write_crops, shares):
        pass


def _write_crops(share: tuple[Path, Path, range]) -> None:
    from PIL import Image

    path, folder, numbers = share
    with Image.open(path) as file:
        original = file.convert("RGB")
    (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        out = folder / path.parent.name / f"{number:06}.jpg"
        if not out.exists():
            unfinished = out.with_suffix(".part")
            _crop(original, random.Random(number)).save(unfinished, "JPEG", quality=75)
            unfinished.rename(out)


def _crop(original: Image.Image, rng: random.Random) -> Image.Image:
    from PIL import Image, ImageEnhance

    width = original.width * rng.uniform(0.5, 0.9)
    height = min(width * SIZE[1] / SIZE[0], original.height)
    left, top = rng.uniform(0, original.width - width), rng.uniform(0, original.height - height)
    crop = original.resize(SIZE, Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(crop).enhance(rng.uniform(0.6, 1.3))


def watch(arguments: list[str], cache: Path) -> Watched:
    """Run `mnas` with arguments, show what it says, and look at its memory."""
    found, start = Watched(), time.monotonic()
    environment = {**os.environ, "MNAS_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "mnas", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as child:
        watcher = threading.Thread(target=_watch_memory, args=(child, found))
        watcher.start()
        for line in child.stdout or ():
            found.lines.append((time.monotonic() - start, line.rstrip()))
            print(f"  {found.lines[-1][0]:7.1f} s  {line.rstrip()}", flush=True)
        child.wait()
        watcher.join()
    found.seconds = time.monotonic() - start
    if child.returncode:
        raise SystemExit(f"mnas {arguments[0]} failed with {child.returncode}; the photographs are kept")
    return found


def _watch_memory(child: subprocess.Popen[str], found: Watched) -> None:
    while child.poll() is None:
        try:
            text = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        gib = {
            name: int(value.split()[0]) / 2**20
            for name, _, value in (line.partition(":") for line in text.splitlines())
            if name in ("VmRSS", "RssAnon")
        }
        found.own_gib = max(found.own_gib, gib.get("RssAnon", 0.0))
        found.all_gib = max(found.all_gib, gib.get("VmRSS", 0.0))
        time.sleep(_POLL_S)


def decoding_rates(photos: Path) -> Iterator[tuple[int, float]]:
    """Yield numbers of threads, and images a second; this process may use fewer CPUs afterwards."""
    import numpy as np

    from mnas.data.image_folder import FolderImages

    source = FolderImages(str(photos), RESOLUTION)
    places = np.unique(np.linspace(0, len(source.labels) - 1, _DECODED).astype(np.intp))
    cpus = sorted(os.sched_getaffinity(0))
    for threads in dict.fromkeys((len(cpus), 1)):
        os.sched_setaffinity(0, cpus[:threads])
        start = time.perf_counter()
        for _ in source.read(places):
            pass
        yield threads, len(places) / (time.perf_counter() - start)


def run(options: argparse.Namespace) -> None:
    """Make photographs, look at them, train on them, and print."""
    photos, cache = options.folder / "photos", options.folder / "cache"
    start = time.monotonic()
    make_photographs(options.source, photos, options.photographs)
    sizes = [path.stat().st_size for path in photos.glob("*/*.jpg")]
    print(
        f"{len(sizes):,} photographs, {sum(sizes) / 1e9:.2f} GB, made in {time.monotonic() - start:.0f} s", flush=True
    )
    network = options.folder / "network.json"
    write_atomically(network, architecture_to_json(NETWORK))
    shutil.rmtree(options.folder / "trained", ignore_errors=True)
    shutil.rmtree(cache, ignore_errors=True)
    train = ["train", str(network), "--data", str(photos), "--out", str(options.folder / "trained")]
    trained = watch([*train, "--epochs", "1", "--augment", "none", "--batch-size", str(options.batch_size)], cache)
    loaded = next((seconds for seconds, line in trained.lines if "training" in line and "test images" in line), 0.0)
    record = json.loads((options.folder / "trained" / "training.json").read_text(encoding="utf-8"))
    epoch = record["history"][0]["seconds"]
    print(f"mnas train: {trained}", flush=True)
    print(f"  until all images were read: {loaded:.0f} s")
    print(f"  the epoch, with validation: {epoch:.0f} s, {record['train_images'] / epoch:.0f} training images a second")
    print(f"file of images: {sum(path.stat().st_size for path in cache.rglob('*.npy')) / 2**30:.2f} GiB")
    print(f"mnas data: {watch(['data', str(photos)], cache)}", flush=True)
    for threads, rate in decoding_rates(photos):
        print(f"decoded to {RESOLUTION} px with {threads} threads: {rate:.0f} images a second", flush=True)


def main() -> None:
    """Read the options and run; remove everything at the end, unless it failed."""
    parser = make_parser("tools.bench.many_photographs", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="a folder of photographs by class")
    parser.add_argument("--photographs", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/many-photographs"), help="for all that is written")
    parser.add_argument("--keep", action="store_true", help="keep it")
    options = parser.parse_args()
    run(options)
    if not options.keep:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()

"""Folders elsewhere: copied here once, mirrored there, never let out of their place."""

import pytest
from PIL import Image

from mnas.data.dataset import load_dataset
from mnas.errors import InputError, MnasError
from mnas.system.remote import Mirror, fetch, local_copy

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'mnas[remote]'")


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A file system in memory, and a cache of the test's own."""
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def images(tmp_path):
    """Two classes of ten images."""
    for number in range(20):
        path = tmp_path / "images" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number * 10, 0, 0)).save(path)
    return tmp_path / "images"


def test_images_elsewhere_are_the_images_here_and_are_copied_once(memory, images):
    here = load_dataset(str(images), resolution=8)
    memory.put(str(images), "/bucket/images", recursive=True)
    memory.pipe_file("/bucket/images/readme.txt", b"x")
    there = load_dataset("memory://bucket/images", resolution=8)
    assert (there.name, there.fingerprint) == ("memory://bucket/images", here.fingerprint)
    memory.rm("/bucket", recursive=True)
    assert load_dataset("memory://bucket/images", resolution=8).fingerprint == here.fingerprint
    assert load_dataset(f"file://{images}", resolution=8).fingerprint == here.fingerprint


def test_a_copy_that_was_interrupted_goes_on(memory, tmp_path, monkeypatch):
    for number in range(6):
        memory.pipe_file(f"/bucket/{number}.png", b"x" * (number + 1))
    monkeypatch.setattr("mnas.system.remote.BATCH", 2)
    get, asked = memory.get, []

    def broken(remote, local, **more):
        asked.extend(remote)
        if len(asked) == 4:
            raise ConnectionError("the cable")
        get(remote, local, **more)

    monkeypatch.setattr(type(memory), "get", lambda self, *names, **more: broken(*names, **more))
    with pytest.raises(MnasError, match="cannot copy memory://bucket: ConnectionError: the cable"):
        local_copy("memory://bucket", lambda name: True)
    folder = local_copy("memory://bucket", lambda name: True)
    assert asked.count("/bucket/0.png") == asked.count("/bucket/1.png") == 1, "finished copies are not made again"
    assert [len(path.read_bytes()) for path in sorted(folder.iterdir())] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["../outside.png", "a/../../outside.png", "c:\\outside.png"])
def test_a_name_does_not_lead_out_of_the_folder(memory, tmp_path, name):
    memory.store[f"/bucket/{name}"] = memory.store.get("x")
    memory.find = lambda root, detail: {f"/bucket/{name}": {"size": 1}}
    memory.pipe_file("/bucket/fine.png", b"x")
    try:
        with pytest.raises(InputError, match="may lead out of the folder"):
            fetch("memory://bucket", tmp_path / "here")
    finally:
        del memory.find
    assert not (tmp_path / "outside.png").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nowhere", "holds no usable file"),
        ("moon://bucket", "cannot copy moon://bucket: ValueError: Protocol not known: moon"),
        ("zip://x::memory://bucket/a.zip", "expected one address"),
    ],
)
def test_what_cannot_be_copied_is_said(memory, url, message):
    with pytest.raises(MnasError, match=message):
        local_copy(url, lambda name: True)


def test_a_mirror_holds_what_is_here_and_gives_it_back(memory, tmp_path):
    here = tmp_path / "study"
    (here / "more").mkdir(parents=True)
    for name in ("study.json", "trials.jsonl", "more/old.npz", "lock", ".best.json.1.mnas-tmp"):
        (here / name).write_text(name)
    mirror = Mirror(here, "memory://bucket/study", seconds=0)
    mirror.push()
    assert sorted(memory.find("/bucket")) == [
        f"/bucket/study/{n}" for n in ("more/old.npz", "study.json", "trials.jsonl")
    ]
    (here / "more/old.npz").unlink()
    (here / "trials.jsonl").write_text("more trials")
    memory.rm_file("/bucket/study/study.json")
    mirror.push_now_and_then()
    assert memory.cat_file("/bucket/study/trials.jsonl") == b"more trials"
    assert sorted(memory.find("/bucket")) == ["/bucket/study/trials.jsonl"], "what did not change was not copied again"
    assert not mirror.fetch(), "what is here is not written over"
    there = Mirror(tmp_path / "elsewhere", "memory://bucket/study")
    assert there.fetch()
    assert (tmp_path / "elsewhere" / "trials.jsonl").read_text() == "more trials"
    assert not Mirror(tmp_path / "nothing", "memory://bucket/nothing").fetch()


def test_a_mirror_that_was_fetched_in_part_is_fetched_anew(memory, tmp_path, monkeypatch):
    for name, text in {"study.json": "{}", "trials.jsonl": "1\n2\n", "best.json": "old"}.items():
        memory.pipe_file(f"/bucket/study/{name}", text.encode())
    monkeypatch.setattr("mnas.system.remote.BATCH", 1)
    get, failures = memory.get, [ConnectionError("the cable")]

    def broken(remote, local, **more):
        if remote[0].endswith("trials.jsonl") and failures:
            raise failures.pop()
        get(remote, local, **more)

    monkeypatch.setattr(type(memory), "get", lambda self, *names, **more: broken(*names, **more))
    (tmp_path / "study").mkdir()
    with pytest.raises(MnasError, match="the cable"):
        Mirror(tmp_path / "study", "memory://bucket/study").fetch()
    assert not list((tmp_path / "study").iterdir()), "a study in part would begin anew over the whole one"
    memory.pipe_file("/bucket/study/best.json", b"new")
    assert Mirror(tmp_path / "study", "memory://bucket/study").fetch()
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["best.json", "study.json", "trials.jsonl"]
    assert (tmp_path / "study" / "best.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


@pytest.mark.parametrize("here", [None, "1\n", "1\n3\n4\n"], ids=["none", "shorter", "another"])
def test_a_log_there_is_not_written_over_by_one_that_does_not_go_on_from_it(memory, tmp_path, here):
    memory.pipe_file("/bucket/study/trials.jsonl", b"1\n2\n")
    memory.pipe_file("/bucket/study/study.json", b"there")
    (tmp_path / "study.json").write_text("here")
    if here is not None:
        (tmp_path / "trials.jsonl").write_text(here)
    mirror = Mirror(tmp_path, "memory://bucket/study")
    for attempt in (mirror.fetch, mirror.push):
        with pytest.raises(InputError, match=r"holds a trials.jsonl that .* does not continue: to continue"):
            attempt()
    assert memory.cat_file("/bucket/study/study.json") == b"there"
    assert memory.cat_file("/bucket/study/trials.jsonl") == b"1\n2\n"


def test_a_log_that_another_machine_has_gone_on_with_meanwhile_is_not_written_over(memory, tmp_path):
    (tmp_path / "trials.jsonl").write_text("1\n")
    (tmp_path / "updates.jsonl").write_text("")
    memory.pipe_file("/bucket/study/updates.jsonl", b"for plots only\n")
    memory.pipe_file("/bucket/study/trials.jsonl", b'1\n{"torn')
    mirror = Mirror(tmp_path, "memory://bucket/study")
    mirror.push()
    assert memory.cat_file("/bucket/study/trials.jsonl") == b"1\n"
    memory.pipe_file("/bucket/study/trials.jsonl", b"1\n2\n")
    (tmp_path / "trials.jsonl").write_text("1\n3\n")
    with pytest.raises(InputError, match="does not continue"):
        mirror.push()
    assert memory.cat_file("/bucket/study/trials.jsonl") == b"1\n2\n"


def test_a_mirror_that_breaks_does_not_end_the_work(tmp_path, caplog):
    (tmp_path / "study.json").write_text("{}")
    broken = Mirror(tmp_path, "moon://bucket", seconds=0)
    assert not broken.fetch()
    assert "cannot read moon://bucket" in caplog.text
    broken.push_now_and_then()
    assert "the work continues, and the local folder is complete" in caplog.text
    with pytest.raises(MnasError, match="cannot copy"):
        broken.push()

"""A folder without permission is refused by name, wherever it is asked for."""

from pathlib import Path

import pytest

import mnas
from mnas.data.dataset import load_dataset
from mnas.errors import InputError
from mnas.study.references import resolve_architecture


@pytest.mark.parametrize(
    "use",
    [
        lambda path: load_dataset(str(path), resolution=8),
        lambda path: mnas.inspect_folder(path),
        lambda path: mnas.open_trained(path),
        lambda path: mnas.open_library(path),
        lambda path: mnas.Study.open(path),
        lambda path: resolve_architecture(str(path)),
        lambda path: mnas.export_network(str(path), path / "x.tflite"),
        lambda path: mnas.predict_images(path / "x.tflite", [path]),
    ],
    ids=["data", "inspect", "trained", "library", "study", "reference", "export", "predict"],
)
def test_what_is_not_permitted_is_named(tmp_path, monkeypatch, use):
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("stat", "open"):  # root may read everything
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(InputError, match=r"(no permission for .*closed|cannot read .*closed.*Permission)"):
        use(tmp_path / "closed")

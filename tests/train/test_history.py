"""Which training a folder belongs to."""

import json

import pytest

from mnas.errors import InputError
from mnas.train.history import refuse_another

DATA = {"name": "photos", "seed": 0, "limit": None, "validation_share": 0.15, "fingerprint": "ab"}


def test_the_data_of_a_training_may_have_moved(tmp_path):
    path = tmp_path / "training.json"
    path.write_text(json.dumps({"configuration": {"data": DATA, "seed": 0}}))
    assert refuse_another(path, {"data": {**DATA, "name": "/mnt/photos"}, "seed": 0})["configuration"]["data"] == DATA
    for change in ({"fingerprint": "cd"}, {"limit": 100}, {"seed": 1}):
        with pytest.raises(InputError, match="another training \\(its data differ\\)"):
            refuse_another(path, {"data": {**DATA, **change}, "seed": 0})

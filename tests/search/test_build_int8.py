"""--score-dtype: what fits together and what does not."""

from dataclasses import replace

import pytest

from mnas.errors import InputError
from mnas.search.build import prepare
from mnas.search.options import SearchOptions
from mnas.space.files import load_space
from tests.latency.tables import make_table


def test_wrong_dtypes_and_evaluators():
    with pytest.raises(InputError, match="--score-dtype is 'int4'"):
        SearchOptions(data="digits", score_dtype="int4")
    with pytest.raises(InputError, match="the evaluator tabular has none"):
        SearchOptions(evaluator="tabular:x.json", score_dtype="int8")
    with pytest.raises(InputError, match="those of a block library are scored in float32"):
        SearchOptions(library="lib", score_dtype="int8")


def test_an_int8_score_needs_an_int8_table(tmp_path):
    make_table(load_space("mnasnet-16")).save(tmp_path / "t.json")
    options = SearchOptions(
        space="mnasnet-16",
        data="digits",
        strategy="random",
        table=[str(tmp_path / "t.json")],
        budget_ms=[5.0],
        score_dtype="int8",
    )
    with pytest.raises(InputError, match=r"is for float32 and --score-dtype is int8.*--dtype int8"):
        prepare(options)


def test_an_int8_search_prices_and_scores_integers(tmp_path):
    table = make_table(load_space("mnasnet-16"))
    replace(table, configuration=replace(table.configuration, dtype="int8")).save(tmp_path / "t.json")
    options = SearchOptions(
        space="mnasnet-16",
        data="digits",
        strategy="random",
        table=[str(tmp_path / "t.json")],
        budget_ms=[5.0],
        score_dtype="int8",
        max_size_mb=1.0,
    )
    config = prepare(options).config
    assert [table["dtype"] for table in config["tables"]] == ["int8"]
    assert config["final_evaluator"]["score_dtype"] == "int8"
    assert "score_dtype" not in config["evaluator"]  # only the finalists are quantised

"""Text and JSON, both directions; every unknown token is refused where it stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.arch import (
    ZOO,
    Architecture,
    BlockSpec,
    StageSpec,
    architecture_from_json,
    architecture_to_json,
    format_stage,
    parse_stage,
    parse_stages,
)
from mnas.errors import InputError

ops = st.sampled_from(["conv", "sepconv", "mbconv"])
ratios = st.one_of(st.integers(2, 8), st.floats(1.01, 8, allow_nan=False).map(lambda x: round(x, 4)))


@st.composite
def stages(draw):
    op = draw(ops)
    block = BlockSpec(
        op=op,
        kernel_size=draw(st.sampled_from([1, 3, 5, 7])),
        stride=draw(st.sampled_from([1, 2])),
        expand_ratio=draw(ratios) if op == "mbconv" else 1,
        filters=draw(st.integers(1, 2000)),
        se_ratio=draw(st.sampled_from([0, 0.0625, 0.25, 0.5, 1])),
        skip=draw(st.sampled_from(["none", "identity", "pool"])),
    )
    return StageSpec(block, draw(st.integers(1, 9)))


@given(stages())
def test_block_strings_round_trip(stage):
    text = format_stage(stage)
    assert parse_stage(text) == stage
    assert format_stage(parse_stage(text)) == text


@given(st.lists(stages(), min_size=1, max_size=9), st.integers(8, 512), st.sampled_from(["relu", "swish"]))
def test_architectures_round_trip(some, resolution, activation):
    architecture = Architecture(tuple(some), resolution=resolution, activation=activation)
    assert architecture_from_json(architecture_to_json(architecture)) == architecture


def test_the_two_grammars_say_the_same():
    assert parse_stage("r3_k5_s22_e3_i24_o40_se0.25") == parse_stage("ir_r3_k5_s2_e3_c40_se0.25")
    assert parse_stage("r1_k3_s11_e1_i32_o16_noskip") == parse_stage("ds_r1_k3_s1_e1_c16_noskip")
    assert format_stage(parse_stage("ds_r1_k3_s1_e1_c16_noskip")) == "ds_r1_k3_s1_c16_noskip"


def test_timms_defaults_for_skips():
    assert parse_stage("ir_r1_k3_s1_e6_c8").block.skip == "identity"
    assert parse_stage("cn_r1_k3_s1_c24").block.skip == "none"
    assert parse_stage("cn_r1_k3_s1_c24_skip").block.skip == "identity"
    assert parse_stage("cn_r1_k3_s1_c24_pool").block.skip == "pool"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ir_r3_k5_s2_e3_c40_nsw", "nsw"),
        ("ir_r3_k5_s2_e3_c40_se", "se"),
        ("ir_r3_k5.5_s2_e3_c40", "k5.5"),
        ("ir_r3_k5_k5_s2_e3_c40", "k5"),
        ("xx_r3_k5_s2_e3_c40", "xx"),
        ("ir_r3_k5_s2_e3_c40_ skip", " skip"),
        ("ir_r3_k٣_s2_e3_c40", "k٣"),
        ("r1_k3_s12_e3_i8_o16", "s12"),
        ("ir_r3_k5_s2_e3_i24_c40", "i24"),
    ],
)
def test_unknown_tokens_get_a_caret(text, word):
    with pytest.raises(InputError) as refused:
        parse_stage(text)
    _, shown, caret = str(refused.value).split("\n")
    assert shown == f"  {text}"
    start = caret.index("^") - 2
    assert text[start:].startswith(word)
    assert caret.count("^") == len(word)


@pytest.mark.parametrize(
    "text", ["", "ir", "ir_r3_k5_s2_c40", "ir_r3_k5_s2_e3", "ir_r0_k3_s1_e6_c8", "ir_r1_k4_s1_e6_c8"]
)
def test_incomplete_or_absurd_blocks_are_refused(text):
    with pytest.raises(InputError):
        parse_stage(text)


def test_mnasnets_input_filters_are_not_trusted():
    first = parse_stages("r1_k3_s11_e1_i16_o8|r1_k3_s22_e3_i8_o16")
    assert first == parse_stages("r1_k3_s11_e1_i999_o8 | r1_k3_s22_e3_i7_o16")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "keras"},
        {"version": 2},
        {"stages": "ir_r3_k5_s2_e3_c40"},
        {"stages": [3]},
        {"resolution": "224"},
        {"resolution": 224.0},
        {"surprise": 1},
    ],
)
def test_json_that_is_no_architecture_is_refused(change):
    data = json.loads(architecture_to_json(ZOO["mnasnet-a1"]))
    with pytest.raises(InputError):
        architecture_from_json(json.dumps({**data, **change}))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "{}", "[" * 100_000, '{"format": NaN}'])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(InputError):
        architecture_from_json(text)

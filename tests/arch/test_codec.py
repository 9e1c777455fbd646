"""Text and JSON, both directions; every unknown token is refused where it stands."""

import json
from dataclasses import replace

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
from mnas.arch.codec import parse_key
from mnas.errors import InputError

ops = st.sampled_from(["conv", "sepconv", "mbconv", "fused_mbconv", "uib"])
ratios = st.one_of(st.integers(2, 8), st.floats(1.01, 8, allow_nan=False).map(lambda x: round(x, 4)))


@st.composite
def stages(draw):
    op = draw(ops)
    kernel_size = draw(st.sampled_from([1, 3, 5, 7, 0] if op == "uib" else [1, 3, 5, 7]))
    start_kernel_size = draw(st.sampled_from([0, 3, 5])) if op == "uib" else 0
    block = BlockSpec(
        op=op,
        kernel_size=kernel_size,
        stride=draw(st.sampled_from([1, 2])) if kernel_size or start_kernel_size else 1,
        expand_ratio=draw(ratios) if op not in ("conv", "sepconv") else 1,
        filters=draw(st.integers(1, 2000)),
        se_ratio=draw(st.sampled_from([0, 0.0625, 0.25, 0.5, 1])),
        skip=draw(st.sampled_from(["none", "identity", "pool"])),
        start_kernel_size=start_kernel_size,
        activation=draw(st.sampled_from(["", "relu", "relu6", "swish", "hswish"])),
        hard_se=draw(st.booleans()),
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


def test_timms_newer_blocks():
    fused = parse_stage("er_r2_k3_s2_e4_c48").block
    assert (fused.op, fused.kernel_size, fused.expand_ratio, fused.skip) == ("fused_mbconv", 3, 4, "identity")
    extra = parse_stage("uir_r1_a5_k3_s2_e3_c96").block
    assert (extra.op, extra.start_kernel_size, extra.kernel_size) == ("uib", 5, 3)
    assert parse_stage("cn_r1_k3_s2_e1_c32") == parse_stage("cn_r1_k3_s2_c32")


def test_equal_blocks_are_written_alike():
    assert format_stage(parse_stage("uir_r4_a0_k3_s1_e2_c96")) == "ir_r4_k3_s1_e2_c96"
    assert format_stage(parse_stage("uir_r1_k0_s1_e4_c256")) == "uir_r1_a0_k0_s1_e4_c256"
    assert format_stage(parse_stage("uir_r1_a0_k3_s1_e1_c96")) == "uir_r1_a0_k3_s1_e1_c96"  # it has an expansion layer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uir_r1_a0_k0_s2_e4_c8", "a uib without depthwise convolutions has stride 2"),
        ("ir_r1_a3_k3_s1_e4_c8", "start_kernel_size is 3 for op mbconv: only uib has one"),
        ("ir_r1_k0_s1_e4_c8", "kernel_size is 0: expected a whole number from 1 to 31"),
        ("uir_r1_a4_k3_s1_e4_c8", "start_kernel_size is 4: expected an odd number"),
        ("er_r2_k5_s2_e1_c8", "a fused_mbconv with expansion ratio 1 is one convolution: .* cn_k5_s2_c8_skip"),
        ("er_r1_k3_s1_c8", "er needs an expansion ratio such as e6"),
        ("cn_r1_k3_s1_e2_c8", "expand_ratio is 2 for op conv: only mbconv, fused_mbconv, uib expand, use 1"),
    ],
)
def test_blocks_that_cannot_be(text, message):
    with pytest.raises(InputError, match=message):
        parse_stage(text)


def test_activations_and_hard_squeeze_and_excitation():
    text = "ir_r3_k5_s2_e3_c40_hse0.25_nre_noskip"
    block = parse_stage(text).block
    assert (block.activation, block.se_ratio, block.hard_se, block.skip) == ("relu", 0.25, True, "none")
    assert format_stage(parse_stage(text)) == text
    assert [parse_stage(f"cn_r1_k9_s1_c8_{end}").block.activation for end in ("nre", "nr6", "nsw", "nhs")] == [
        "relu", "relu6", "swish", "hswish",
    ]  # fmt: skip
    assert parse_stage("ir_r1_k3_s1_e3_c8_hse0") == parse_stage("ir_r1_k3_s1_e3_c8")


def test_an_activation_that_is_the_networks_is_left_out():
    first, second = (Architecture(parse_stages(f"ir_r1_k3_s1_e3_c8{end}"), activation="hswish") for end in ("", "_nhs"))
    assert first == second
    assert "_nre" in architecture_to_json(Architecture(parse_stages("ir_r1_k3_s1_e3_c8_nre"), activation="hswish"))


def test_files_of_networks_without_the_newer_fields_stay_as_they_were():
    plain = Architecture(parse_stages("ir_r1_k3_s1_e3_c8"))
    assert "pooled" not in architecture_to_json(plain)
    for pooled in (replace(plain, pooled_filters=64), replace(plain, pooled_filters=64, pooled_norm=False)):
        assert architecture_from_json(architecture_to_json(pooled)) == pooled
    assert replace(plain, pooled_norm=False) == plain  # there is nothing to normalise
    with pytest.raises(InputError, match="pooled_norm is 1: expected true or false"):
        architecture_from_json(architecture_to_json(plain)[:-1] + ', "pooled_norm": 1}')


def test_keys_of_a_classifier_with_a_convolution():
    for key in ("7x7x960 classifier_c1280_n10 relu", "7x7x960 classifier_b1280_n10 hswish", "7x7x960 classifier_n10"):
        assert parse_key(key).key == key
    for key in (
        "7x7x960 classifier_c1280_n10", "7x7x960 classifier_n10 relu", "8x8x8 ir_k3_s1_e3_c8_nre hswish",
    ):  # fmt: skip
        with pytest.raises(InputError, match="is not a key"):
            parse_key(key)


def test_timms_defaults_for_skips():
    assert parse_stage("ir_r1_k3_s1_e6_c8").block.skip == "identity"
    assert parse_stage("cn_r1_k3_s1_c24").block.skip == "none"
    assert parse_stage("cn_r1_k3_s1_c24_skip").block.skip == "identity"
    assert parse_stage("cn_r1_k3_s1_c24_pool").block.skip == "pool"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ir_r3_k5_s2_e3_c40_nge", "nge"),
        ("ir_r3_k5_s2_e3_c40_se0.25_hse0.25", "hse0.25"),
        ("xir_r3_k5_s2_e3_c40", "xir"),
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

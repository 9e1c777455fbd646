"""Spaces: the bijection, the shipped files, TOML by users, costs by look-up."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.arch import complexity, parse_stage, unroll, zoo
from mnas.arch.complexity import block_complexity
from mnas.errors import InputError
from mnas.space import SPACES, Decision, SearchSpace, SpaceCosts, load_space, save_space, space_around
from mnas.space.stages import StageBlocks
from tests.spaces import small_space

SIZES = small_space(resolutions=(12, 16, 8))
ALL = {name: load_space(name) for name in SPACES}
EVERY = {**ALL, "several sizes": SIZES, "around": space_around(zoo("mobilenet-v2"), resolutions=(96, 64))}


def indices_of(space):
    return st.tuples(*(st.integers(0, len(decision.choices) - 1) for decision in space.decisions))


@pytest.mark.parametrize("name", EVERY)
def test_encode_and_decode_are_a_bijection(name):
    space = EVERY[name]

    @given(indices_of(space), indices_of(space))
    @settings(max_examples=60, deadline=None)
    def check(first, second):
        architecture = space.decode(first)
        assert space.encode(architecture) == first
        assert space.decode(space.encode(architecture)) == architecture
        assert (space.decode(second) == architecture) == (first == second)

    check()


def test_the_mnasnet_space_in_full():
    space = ALL["mnasnet"]
    assert len(space.stages) == 7
    assert [d.name for d in space.decisions[:6]] == [
        "stage1.op", "stage1.kernel_size", "stage1.se_ratio", "stage1.skip", "stage1.filters", "stage1.repeats",
    ]  # fmt: skip
    # A middle block has the paper's 432 choices: 4 ops (two expansion ratios), 2 kernels, 2 SE, 3 skips, 3 x 3 sizes.
    middle = space.decisions[6:12]
    assert int(np.prod([len(d.choices) for d in middle])) == 432
    strides = [stage.stride for stage in space.stages]
    assert strides == [stage.block.stride for stage in zoo("mobilenet-v2").stages]
    for stage, reference in zip(space.stages, zoo("mobilenet-v2").stages, strict=True):
        assert stage.filters == tuple(reference.block.filters * n // 4 for n in (3, 4, 5))
        assert {reference.repeats, reference.repeats + 1} <= set(stage.repeats)


def test_the_mobilenet_v3_space_is_of_the_papers_blocks():
    space, network = ALL["mobilenet-v3"], zoo("mobilenet-v3-large")
    assert (space.stem_filters, space.head_filters, space.pooled_filters, space.pooled_norm) == (16, 960, 1280, False)
    architecture = space.decode([len(decision.choices) - 1 for decision in space.decisions])
    assert {stage.block.filters for stage in network.stages} <= {n for stage in space.stages for n in stage.filters}
    activations = [stage.block.activation for stage in architecture.stages]
    assert activations == ["relu"] * 3 + [""] * 3  # h-swish is the network's
    assert all(stage.block.hard_se for stage in architecture.stages[1:])
    swish = replace(architecture.stages[1], block=replace(architecture.stages[1].block, activation="swish"))
    with pytest.raises(InputError, match="_nsw: its activation or kind of squeeze-and-excitation is no choice"):
        space.encode(replace(architecture, stages=(architecture.stages[0], swish, *architecture.stages[2:])))


@pytest.mark.parametrize("name", ["mobilenet-v4", "mobilenet-v4-32"])
def test_the_mobilenet_v4_space_has_every_universal_inverted_bottleneck(name):
    space = ALL[name]
    assert [len(stage.blocks) for stage in space.stages[1:5]] == [8, 10, 8 if name == "mobilenet-v4" else 9, 10]
    pairs = [(b.start_kernel_size, b.kernel_size) for b in (parse_stage(text).block for text in space.stages[2].blocks)]
    assert set(pairs) == {(a, k) for a in (0, 3, 5) for k in (0, 3, 5)} | {(0, 1)}  # and leaving it out
    assert (space.pooled_filters, space.pooled_norm) == (1280 if name == "mobilenet-v4" else 640, True)


def test_activations_that_are_the_networks_are_left_out_of_blocks():
    space = SearchSpace("own", (StageBlocks(("cn_r1_k3_s1_c8_nhs", "cn_r1_k3_s1_c8_nre")),), activation="hswish")
    assert space.stages[0].blocks == ("cn_r1_k3_s1_c8", "cn_r1_k3_s1_c8_nre")
    assert space.encode(space.decode([0])) == (0,)


def test_mobilenet_v2_but_for_its_first_stage_is_in_the_space():
    space = ALL["mnasnet"]
    network = zoo("mobilenet-v2")
    with pytest.raises(InputError, match="activation"):
        space.encode(network)


def test_sampling_is_seeded_and_covers_every_choice():
    space = ALL["mnasnet-16"]
    drawn = [space.sample(np.random.default_rng(7)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    rng = np.random.default_rng(0)
    codes = np.array([space.encode(space.sample(rng)) for _ in range(300)])
    assert [len(np.unique(column)) for column in codes.T] == [len(d.choices) for d in space.decisions]


def test_mutation_changes_one_decision_and_crossover_mixes():
    space, rng = ALL["mnasnet-32"], np.random.default_rng(0)
    first, second = space.sample(rng), space.sample(rng)
    for _ in range(50):
        changed = np.array(space.encode(space.mutate(first, rng))) != np.array(space.encode(first))
        assert changed.sum() == 1
        child = np.array(space.encode(space.crossover(first, second, rng)))
        parents = np.array([space.encode(first), space.encode(second)])
        assert ((child == parents[0]) | (child == parents[1])).all()


@pytest.mark.parametrize("name", EVERY)
def test_placed_blocks_are_exactly_what_architectures_hold(name):
    space = EVERY[name]
    blocks = set(space.placed_blocks())
    rng = np.random.default_rng(1)
    met = {placed for _ in range(300) for placed in unroll(space.sample(rng))}
    assert met <= blocks
    assert len({placed.key for placed in blocks}) == len(blocks)


@pytest.mark.parametrize("name", EVERY)
def test_costs_by_look_up_equal_the_walk(name):
    space = EVERY[name].with_data(num_classes=7)
    rng = np.random.default_rng(2)
    drawn = [space.sample(rng) for _ in range(40)]
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds, overhead=5)
    found = costs(np.array([space.encode(architecture) for architecture in drawn]))
    assert found.tolist() == [complexity(architecture).madds + 5 for architecture in drawn]


def test_extremes_are_exact():
    space = ALL["mnasnet-16"]
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds)
    rng = np.random.default_rng(3)
    codes = np.array([space.encode(space.sample(rng)) for _ in range(20_000)])
    for largest, bound in ((False, costs(codes).min()), (True, -costs(codes).max())):
        architecture, cost = costs.extreme(largest=largest)
        assert complexity(architecture).madds == cost
        assert (-cost if largest else cost) <= bound


def test_a_price_that_is_missing_is_an_error_not_zero():
    def price(placed):
        raise InputError(f"no entry for {placed.key}")

    with pytest.raises(InputError, match="no entry"):
        SpaceCosts(ALL["mnasnet-16"], price)


def test_plain_data_round_trip_and_fingerprint():
    space = ALL["mnasnet-32"]
    again = SearchSpace.from_dict(space.to_dict())
    assert again == space
    assert again.fingerprint == space.fingerprint != space.with_data(num_classes=11).fingerprint


@pytest.mark.parametrize("indices", [(), (0,) * 41, (9,) + (0,) * 41, (-1,) + (0,) * 41])
def test_decode_refuses_wrong_indices(indices):
    with pytest.raises(InputError):
        ALL["mnasnet"].decode(indices)


GOOD = """
name = "mine"
resolution = 64
[choices]
op = ["conv", "mbconv4"]
kernel_size = [3]
se_ratio = [0]
skip = ["identity"]
repeats = [1, 2]
[[stages]]
stride = 2
filters = [8, 16]
[[stages]]
stride = 1
filters = [24]
kernel_size = [3, 7]
"""


def test_a_users_own_space(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    space = load_space(str(path))
    assert space.size == (2 * 2 * 2) * (2 * 2 * 2)
    assert space.stages[1].kernel_size == (3, 7)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("stride = 2", "stride = 4", "stage 1"),
        ("filters = [24]", "", "stage 2 lacks filters"),
        ("mbconv4", "mbconv0.5", "mbconv0.5"),
        ("mbconv4", "fused", "fused"),
        ("kernel_size = [3]", "kernel_size = [4]", "odd"),
        ("[3, 7]", "[3, 3]", "different"),
        ("[3, 7]", "3", "list"),
        ("resolution = 64", "resolution = 64\nfilter = 3", "unknown fields filter"),
        ("resolution = 64", "resolution = -64", "resolution"),
        ('name = "mine"', "", "name"),
        ("[choices]", "[choices", "TOML"),
    ],
)
def test_a_wrong_space_file_says_where(tmp_path, old, new, said):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        load_space(str(path))


FILE = Path(__file__).parents[2].parent / "shared" / "data" / "nas-bench-macro_cifar10.json"
BLOCKS = (
    GOOD[: GOOD.index("[[stages]]")]
    + """
[[stages]]
blocks = ["ir_r2_k3_s2_e4_c16", "cn_r1_k3_s2_c24"]
[[stages]]
stride = 1
filters = [16, 24]
[[stages]]
blocks = ["id_r1_k1_s1_c16", "ds_r1_k3_s1_c24"]
"""
)


def test_stages_of_whole_blocks_mix_with_stages_of_six_decisions(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(BLOCKS)
    space = load_space(str(path))
    assert [d.name for d in space.decisions][::7] == ["stage1.block", "stage3.block"]
    assert SearchSpace.from_dict(space.to_dict()) == space
    everything = [space.decode(row) for row in np.ndindex(*(len(d.choices) for d in space.decisions))]
    assert len(set(everything)) == len(everything) == space.size == 2 * (2 * 2 * 2) * 2
    assert {placed for a in everything for placed in unroll(a)} == set(space.placed_blocks())
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds)
    madds = [complexity(architecture).madds for architecture in everything]
    assert costs([space.encode(architecture) for architecture in everything]).tolist() == madds
    assert (costs.extreme()[1], costs.extreme(largest=True)[1]) == (min(madds), max(madds))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cn_r1_k3_s2_c24", "cn_r1_k3_s1_c24", "stage 1: .*same stride"),
        ("cn_r1_k3_s2_c24", "ir_r2_k3_s2_e4.0_c16", "stage 1: .*different blocks"),
        ("cn_r1_k3_s2_c24", "xx_r1_k3_s2_c24", "stage 1: cannot read"),
        ("id_r1_k1_s1_c16", "id_r1_k3_s1_c16", "kernel_size 1"),
        ("stride = 1", "stride = 1\nblocks = []", "stage 2 .*unknown fields filters, stride"),
    ],
)
def test_wrong_blocks_say_where(tmp_path, old, new, said):
    path = tmp_path / "mine.toml"
    path.write_text(BLOCKS.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        load_space(str(path))


@pytest.mark.skipif(not FILE.is_file(), reason=f"there is no {FILE}")
def test_nas_bench_macro_costs_what_its_authors_say():
    space, published = ALL["nas-bench-macro"], json.loads(FILE.read_text())
    codes = [[int(digit) for digit in name] for name in published]
    assert space.size == len(codes)
    params = SpaceCosts(space, lambda placed: block_complexity(placed).params)(codes)
    madds = SpaceCosts(space, lambda placed: block_complexity(placed).madds)(codes)
    assert params.tolist() == [entry["params"] for entry in published.values()]
    # They leave the classifier's 10 biases out.
    assert madds.tolist() == [entry["flops"] + 10 for entry in published.values()]


def test_an_unknown_space_lists_the_known_ones():
    with pytest.raises(InputError, match="mnasnet-32"):
        load_space("mnasnet-33")
    with pytest.raises(InputError, match="cannot read"):
        load_space("nowhere.toml")


def test_the_resolution_is_the_last_decision():
    assert SIZES.decisions[-1] == Decision("resolution", (16, 12, 8))
    assert (SIZES.resolution, SIZES.input_sizes) == (16, (16, 12, 8))
    assert SIZES.size == 3 * small_space().size
    rng = np.random.default_rng(0)
    first, second = (replace(SIZES.sample(rng), resolution=size) for size in (16, 8))
    assert {SIZES.crossover(first, second, rng).resolution for _ in range(50)} == {16, 8}
    assert {SIZES.mutate(first, rng).resolution for _ in range(100)} == {16, 12, 8}
    with pytest.raises(InputError, match=r"has 10 px; small has \[16, 12, 8\]"):
        SIZES.encode(replace(first, resolution=10))


def test_one_resolution_is_no_decision():
    space = small_space(resolutions=(12,))
    assert space == small_space().with_data(resolution=12)
    assert "resolutions" not in space.to_dict()
    assert SearchSpace.from_dict(SIZES.to_dict()) == SIZES
    assert SIZES.fingerprint != SIZES.with_data(resolutions=(16, 8)).fingerprint
    assert SIZES.with_data(resolution=12) == SIZES.with_data(resolutions=[12]) == SIZES.at(12) == space
    with pytest.raises(InputError, match="expected one of them"):
        SIZES.with_data(resolution=12, resolutions=(16, 8))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (16, "expected a list"),
        ("16", "expected a list"),
        ((16, 16), "each once"),
        ((16, 0), "a resolution is 0"),
        ((16, 12.0), "a resolution is 12.0"),
        ((16, True), "a resolution is True"),
        (tuple(range(1, 60)), "at most 50"),
    ],
)
def test_wrong_resolutions_are_refused(sizes, said):
    with pytest.raises(InputError, match=said):
        small_space(resolutions=sizes)


def test_the_smallest_resolution_that_strides_leave_something_of_is_named():
    with pytest.raises(InputError, match=r"resolution is 8 px.*at least 17 px"):
        ALL["mnasnet"].with_data(resolutions=(224, 8))


def test_extremes_are_exact_over_resolutions():
    costs = SpaceCosts(SIZES, lambda placed: block_complexity(placed).madds)
    sizes = {}
    for largest in (False, True):
        architecture, cost = costs.extreme(largest=largest)
        sizes[largest] = architecture.resolution
        assert complexity(architecture).madds == cost
        assert costs([SIZES.encode(architecture)]).tolist() == [cost]
    assert sizes == {False: 8, True: 16}


def test_costs_of_fixed_filters_are_a_constant_and_a_number_per_choice():
    space = EVERY["around"]
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds, overhead=3)
    rng = np.random.default_rng(4)
    for index, size in enumerate(space.resolutions):
        constant, values = costs.additive(index)
        assert [len(each) for each in values] == [len(decision.choices) for decision in space.decisions[:-1]]
        architecture = replace(space.sample(rng), resolution=size)
        chosen = zip(values, space.encode(architecture), strict=False)
        assert constant + sum(each[at] for each, at in chosen) == complexity(architecture).madds + 3


def test_costs_that_depend_on_filters_are_not_a_sum_over_decisions(tmp_path):
    with pytest.raises(InputError, match="stage 1 of small has 6 decisions"):
        SpaceCosts(SIZES, lambda placed: 1.0).additive()
    path = tmp_path / "mine.toml"
    path.write_text(BLOCKS[: BLOCKS.rindex("[[stages]]\nstride")])
    with pytest.raises(InputError, match=r"stage 1 of mine end with \[16, 24\] filters"):
        SpaceCosts(load_space(str(path)), lambda placed: 1.0).additive()


@pytest.mark.parametrize("name", EVERY)
def test_a_space_that_is_written_is_read_back_equal(name, tmp_path):
    save_space(EVERY[name], tmp_path / "space.toml")
    assert load_space(str(tmp_path / "space.toml")) == EVERY[name]


def test_a_space_with_a_name_of_any_kind_is_read_back_equal(tmp_path):
    space = replace(SIZES, name='ein "Raum" \\ für ☎')
    save_space(space, tmp_path / "space.toml")
    assert load_space(str(tmp_path / "space.toml")) == space
    with pytest.raises(InputError, match=r"ends with .toml"):
        save_space(space, tmp_path / "space.json")


def test_a_resolution_that_is_not_among_several_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("resolution = 64", "resolution = 64\nresolutions = [32, 48]"))
    with pytest.raises(InputError, match=r"resolution is 64 and resolutions is \[32, 48\]"):
        load_space(str(path))

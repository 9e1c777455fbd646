"""The shipped ProxylessNAS space is the one that ProxylessNAS's own latency table prices."""

from mnas.latency.estimator import LatencyEstimator
from mnas.latency.importers.importer import import_table
from mnas.space import load_space
from tests.latency.importers.published import proxylessnas_times, real_file, rows


def test_it_has_21_choices_and_every_key_of_the_table(tmp_path):
    (tmp_path / "mobile.yaml").write_text(rows(proxylessnas_times()))
    table = import_table(tmp_path / "mobile.yaml", "proxylessnas")
    space = load_space("proxylessnas")
    free = [decision for decision in space.decisions if len(decision.choices) > 1]
    assert [len(decision.choices) for decision in free] == [6, 7, 7, 7] * 5 + [6]
    assert {placed.key for placed in space.placed_blocks()} == set(table.entries)


def test_the_published_sums():
    costs = LatencyEstimator(import_table(real_file("proxylessnas_mobile_trim.yaml"), "proxylessnas")).costs(
        load_space("proxylessnas")
    )
    published = [76.05, 87.72, 103.67, 136.47, 158.95, 191.03]
    found = costs([[0, *[choice] * 21] for choice in range(6)])
    assert [round(float(ms), 2) for ms in found] == published

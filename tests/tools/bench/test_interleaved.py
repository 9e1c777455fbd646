from tools.bench.interleaved import latency_step


def test_as_many_other_networks_are_another_step() -> None:
    assert latency_step(["a", "b"]) == latency_step(["b", "a"])
    assert len({latency_step(names) for names in (["a", "b"], ["a", "c"], ["a"])}) == 3

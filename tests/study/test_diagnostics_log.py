from mnas.study.diagnostics_log import Update, UpdateLog


def test_what_is_known_is_not_written_again(tmp_path):
    path = tmp_path / "updates.jsonl"
    log = UpdateLog(path)
    log.append("trials", 10, {"entropy": 3.5})
    log.append("trials", 10, {"entropy": 3.5})
    log.append("baseline", 10, {"entropy": 1.0})
    again = UpdateLog(path)
    again.append("trials", 10, {"entropy": 3.5})
    again.append("trials", 20, {"entropy": 3.0, "broken": float("nan")})
    assert again.read() == [
        Update("trials", 10, {"entropy": 3.5}),
        Update("baseline", 10, {"entropy": 1.0}),
        Update("trials", 20, {"entropy": 3.0}),
    ]


def test_a_torn_line_is_cut_off_and_written_again(tmp_path):
    path = tmp_path / "updates.jsonl"
    log = UpdateLog(path)
    log.append("trials", 10, {"entropy": 3.5})
    log.append("trials", 20, {"entropy": 3.0})
    path.write_bytes(path.read_bytes()[:-5])
    again = UpdateLog(path)
    again.repair()
    again.append("trials", 20, {"entropy": 3.0})
    assert [update.num_trials for update in again.read()] == [10, 20]


def test_a_line_that_means_nothing_is_left_out(tmp_path):
    path = tmp_path / "updates.jsonl"
    path.write_text('{"phase": 3}\n[]\nnothing\n')
    assert UpdateLog(path).read() == []
    assert UpdateLog(tmp_path / "none").read() == []

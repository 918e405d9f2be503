import logging

import pytest

from hfdiff.training.log import Pace, RunLog, duration, read_log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def test_what_is_written_is_read_back(path):
    log = RunLog(path, 0)

    log.add(1, {"l1": 0.25, "student/gradient_norm": 12345.678})
    log.add(2, {"l1": 1e-9})

    assert path.read_text().splitlines()[0] == "step,name,value"
    assert read_log(path) == [
        (1, "l1", 0.25),
        (1, "student/gradient_norm", 12345.7),
        (2, "l1", 1e-9),
    ]


def test_going_on_cuts_off_what_will_be_computed_again(path):
    log = RunLog(path, 0)
    for step in range(1, 6):
        log.add(step, {"l1": step})

    RunLog(path, 3).add(4, {"l1": 40})

    assert read_log(path) == [(1, "l1", 1), (2, "l1", 2), (3, "l1", 3), (4, "l1", 40)]


@pytest.mark.parametrize("torn", ["5", "5,l1", "5,l1,1e-", "5,l1,0.2\0\0\0", "\0\0\0"])
def test_a_torn_last_line_does_no_harm(path, torn):
    RunLog(path, 0).add(1, {"l1": 0.5})
    with path.open("a") as stream:
        stream.write(torn)

    RunLog(path, 4).add(5, {"l1": 0.25})

    assert read_log(path) == [(1, "l1", 0.5), (5, "l1", 0.25)]


def test_a_log_knows_which_steps_were_validated_before_it_was_opened(path):
    log = RunLog(path, 0)
    log.add(3, {"validation/student/lpips": 0.5})
    log.add(4, {"l1": 0.5})

    again = RunLog(path, 4)

    assert again.has_validation(3)
    assert not again.has_validation(4)


def test_a_log_knows_the_lowest_value_as_the_file_has_it(path):
    log = RunLog(path, 0)
    assert log.is_lowest("validation/lpips", {"validation/lpips": 0.5})
    log.add(1, {"validation/lpips": 0.5})
    log.add(2, {"validation/lpips": float("nan")})

    for one in (log, RunLog(path, 2)):
        assert one.is_lowest("validation/lpips", {"validation/lpips": 0.4})
        assert not one.is_lowest("validation/lpips", {"validation/lpips": 0.49999999})
        assert not one.is_lowest("validation/lpips", {"validation/lpips": float("nan")})
    assert RunLog(path, 0).is_lowest("validation/lpips", {"validation/lpips": 0.6})


def test_the_line_for_people_says_step_values_and_time_left(path, caplog):
    with caplog.at_level(logging.INFO):
        RunLog(path, 0).say(20, 400, {"l1": 0.123456, "samples_per_second": 14.0}, "12 min")

    assert caplog.messages == ["step 20/400  l1 0.1235  samples_per_second 14  12 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (90, "2 min"),
        (3540, "59 min"),
        (3600, "1 h 00 min"),
        (86399, "24 h 00 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_the_pace_is_that_of_the_steps_and_not_of_what_lies_between_them(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    pace = Pace(batch=8)

    for _ in range(5):
        pace.start()
        now[0] += 2.0
        pace.stop()
        now[0] += 100.0  # validation

    assert pace.samples_per_second == pytest.approx(4.0)
    assert pace.seconds_for(30) == pytest.approx(60.0)

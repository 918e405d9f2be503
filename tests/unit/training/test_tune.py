"""What `hfdiff tune` says at its end; the command itself is in tests/e2e/test_tune.py."""

import logging

from hfdiff.training.tune import _compare
from hfdiff.training.validation import METRIC_NAMES


def test_the_two_models_are_compared_picture_by_picture(caplog):
    caplog.set_level(logging.INFO, logger="hfdiff")
    boxed, tuned = [0.5, 0.3, 0.4, 0.2], [0.4, 0.2, 0.3, 0.1]
    scores = {f"in_the_box/{name}": boxed for name in METRIC_NAMES}
    scores |= {f"tuned/{name}": tuned for name in METRIC_NAMES}

    _compare(scores, 4)

    assert "held out, 4 pictures: tuned/lpips 0.2500" in caplog.text
    # The pictures are far apart, the difference is the same on each.
    assert "tuned - in_the_box: lpips -0.1000 (95 %: -0.1000 .. -0.1000)" in caplog.text

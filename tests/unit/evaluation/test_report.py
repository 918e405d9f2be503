import csv
import json
import math
from pathlib import Path

import pytest

from hfdiff.evaluation.report import as_json, as_text, write_csv
from hfdiff.evaluation.runner import Evaluation, NotComputed, PictureValues
from hfdiff.metrics.protocols import PROTOCOLS


def evaluation_of(pictures, **fields):
    known = {
        "protocol": PROTOCOLS["osediff"],
        "sr": Path("out"),
        "gt": Path("truth"),
        "metrics": ("psnr_y", "niqe"),
        "not_computed": (),
        "identities": {
            "psnr_y": {"name": "psnr_y", "definition": "on Y"},
            "niqe": {"name": "niqe", "definition": "on grey", "weights niqe": "0123456789abcdef"},
        },
        "left_out": (),
        "versions": {"torch": "2.13"},
        "device": "cpu",
        "seed": 0,
    }
    return Evaluation(pictures=tuple(pictures), **{**known, **fields})


@pytest.fixture
def pictures():
    return [
        PictureValues(name="a.png", values={"psnr_y": math.inf, "niqe": 3.0}),
        PictureValues(name="b.png", values={"psnr_y": 20.5}, reasons={"niqe": "too small"}),
        PictureValues(name="c.png", failure="broken"),
    ]


def test_the_text_names_protocol_means_and_everything_that_is_missing(pictures):
    missing = NotComputed(metric="dists", reason="no weights", remedy="hfdiff weights get dists")

    text = as_text(evaluation_of(pictures, not_computed=(missing,), left_out=("d.png",)))

    assert "protocol osediff: 8-bit RGB files" in text
    assert "2 of 3 pictures measured in out" in text
    assert "PARTIAL: 1 of 4 gt have no sr" in text
    assert "not computed: dists: no weights; hfdiff weights get dists" in text
    assert "no niqe for b.png: too small" in text
    assert "failed: c.png: broken" in text
    assert "niqe: on grey; weights niqe 0123456789ab" in text
    assert "on cpu with torch 2.13" in text


def test_the_text_has_means_with_intervals_and_how_many_pictures_they_are_over():
    values = [10.0, 11.0, 12.0]
    pictures = [PictureValues(name=f"{v}.png", values={"psnr_y": v}) for v in values]

    lines = as_text(evaluation_of(pictures, metrics=("psnr_y",))).splitlines()

    row = next(line for line in lines if line.startswith("PSNR-Y"))
    assert row.split() == ["PSNR-Y", "higher", "11.000", "10.000", "..", "12.000", "3"]


def test_the_text_shows_the_ten_worst_and_says_where_the_rest_is():
    pictures = [PictureValues(name=f"{i:02}.png", values={"psnr_y": 20 + i}) for i in range(13)]

    text = as_text(evaluation_of(pictures, metrics=("psnr_y",)))

    assert "00.png" in text
    assert "10.png" not in text
    assert "and 3 more (all with --csv FILE or --json)" in text


def test_a_metric_without_any_value_says_none():
    pictures = [PictureValues(name="a.png", reasons={"niqe": "too small"})]

    text = as_text(evaluation_of(pictures, metrics=("niqe",)))

    assert "NIQE    lower   none" in text


def test_json_holds_every_value_and_stays_valid_with_infinite_ones(pictures):
    content = json.loads(as_json(evaluation_of(pictures)), parse_constant=pytest.fail)

    assert content["schema"] == 1
    assert content["protocol"]["name"] == "osediff"
    assert content["metrics"]["psnr_y"]["mean"] == "inf"
    assert content["metrics"]["niqe"]["low"] is None
    assert content["metrics"]["niqe"]["n"] == 1
    assert content["pictures"][0]["values"] == {"psnr_y": "inf", "niqe": 3.0}
    assert content["pictures"][2] == {
        "name": "c.png",
        "values": {},
        "reasons": {},
        "failure": "broken",
    }
    assert content["worst_first"] == ["b.png", "a.png"]


def test_csv_has_a_row_a_picture_with_all_digits(pictures, tmp_path):
    write_csv(evaluation_of(pictures), tmp_path / "values.csv")

    with (tmp_path / "values.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["picture", "psnr_y", "niqe", "failure"],
        ["a.png", "inf", "3.0", ""],
        ["b.png", "20.5", "", ""],
        ["c.png", "", "", "broken"],
    ]

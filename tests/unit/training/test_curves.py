import random
import xml.etree.ElementTree as ET

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.training.curves import Panel, panels, smoothed, svg, write_curves
from hfdiff.training.log import RunLog

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(tmp_path):
    log = RunLog(tmp_path / "metrics.csv", 0)
    chance = random.Random(0)
    log.add(0, {"weight/l1": 1.0})
    for step in range(1, 301):
        log.add(step, {"l1": 0.1 + chance.random() / step, "student/gradient_norm": 1 / step})
        if step % 100 == 0:
            log.add(step, {"learning_rate": 1e-4, "samples_per_second": 9.0})
            log.add(step, {"student/norm_of/l1": 0.3, "student/norm_of/inv": 4.0})
            log.add(step, {f"validation/{way}/lpips": 0.4 for way in ("y", "student")})
    return tmp_path


def drawn(path):
    return ET.parse(path).getroot()


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_a_run_becomes_a_picture_with_a_panel_per_term(run):
    write_curves(run, run / "curves.svg")

    titles = [e.text for e in drawn(run / "curves.svg").iter(f"{SVG}text") if e.get("class")]
    assert titles == [
        "l1",
        "validation lpips",
        "student: gradient norm",
        "student: gradient norm of each term",
        "learning rate",
        "samples per second",
    ]


def test_lines_of_one_panel_are_labelled(run):
    write_curves(run, run / "curves.svg")

    assert {"y", "student", "inv"} <= set(texts(drawn(run / "curves.svg")))


def test_terms_are_drawn_raw_and_smoothed_and_validation_as_measured(run):
    made = write_curves(run, run / "curves.svg")

    kinds = [path.get("class") for path in drawn(run / "curves.svg").iter(f"{SVG}path")]
    assert [panel.is_smoothed for panel in made] == [True, False, True, True, False, True]
    assert kinds.count("raw") == 5  # l1, norm, norms of two terms, speed
    assert kinds.count("line") == 8


def test_everything_lies_inside_the_picture(run):
    write_curves(run, run / "curves.svg")
    root = drawn(run / "curves.svg")

    for path in root.iter(f"{SVG}path"):
        if path.get("class") in ("raw", "line"):
            for place in path.get("d").removeprefix("M").split():
                x, y = map(float, place.split(","))
                assert 0 <= x <= 360
                assert 0 <= y <= 220


def test_values_over_decades_are_on_a_logarithmic_axis_and_others_are_not():
    decades = Panel(title="a", lines={"": [(k, 10.0**-k) for k in range(1, 6)]})
    narrow = Panel(title="a", lines={"": [(k, 1.0 + k) for k in range(1, 6)]})

    assert {"0.1", "0.01", "0.001"} <= set(texts(ET.fromstring(svg([decades], title="t"))))
    assert {"2", "4", "6"} <= set(texts(ET.fromstring(svg([narrow], title="t"))))


@pytest.mark.parametrize(
    "points",
    [
        [(5, 0.0)],
        [(5, -3.0), (6, -3.0)],
        [(1, 1e-12), (2, 1e12)],
        [(1, -1.0), (2, 50.0)],
        [(k, float(k % 7)) for k in range(20_000)],
    ],
    ids=["one", "constant", "huge", "signs", "many"],
)
def test_any_values_can_be_drawn(points):
    text = svg([Panel(title="<a & b>", lines={"": points})], title="t")

    assert ET.fromstring(text) is not None
    assert "nan" not in text
    assert len(text) < 40_000


def test_values_that_are_not_finite_are_left_out():
    made = panels([(1, "l1", 0.5), (2, "l1", float("nan")), (3, "l1", float("inf"))])

    assert made == [Panel(title="l1", lines={"": [(1, 0.5)]})]


def test_the_moving_average_is_unbiased_and_calms():
    chance = random.Random(1)
    points = [(k, 2.0 + chance.gauss(0, 1)) for k in range(1000)]

    calm = smoothed(points)

    assert smoothed([(k, 2.0) for k in range(100)])[0] == (0, 2.0)
    assert sum(abs(value - 2.0) < 0.5 for _, value in calm[50:]) > 900


@pytest.mark.parametrize("content", [None, "step,name,value\n"])
def test_a_folder_without_values_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.csv").write_text(content)

    with pytest.raises(SettingsError, match=r"does not exist: no training|holds no values yet"):
        write_curves(tmp_path, tmp_path / "curves.svg")

    assert not (tmp_path / "curves.svg").exists()

import pytest

from hfdiff.diffusion.schedule import ShiftSchedule
from hfdiff.model.convert.table import RELEASES, UNSUPPORTED


@pytest.mark.parametrize("file", RELEASES)
def test_every_release_says_its_licence_and_source(file):
    release = RELEASES[file]

    assert release.licence
    assert "arXiv" in release.source
    assert (release.kind == "unet") == (release.schedule is not None) == (release.role is not None)


@pytest.mark.parametrize("file", [name for name, one in RELEASES.items() if one.schedule])
def test_the_steps_in_a_file_name_are_those_of_its_schedule(file):
    schedule = ShiftSchedule.from_config(RELEASES[file].schedule)

    assert schedule.steps == (4 if "_s4" in file else 15)
    assert schedule.prior_std == pytest.approx(1.98)


def test_weights_that_forbid_commerce_say_so():
    assert "non-commercial" in RELEASES["resshift_realsrx4_s15_v1.pth"].licence
    assert "NC" in RELEASES["SinSR_v1.pth"].licence


def test_short_names_are_unique_and_no_file_is_both_known_and_unsupported():
    assert len({release.name for release in RELEASES.values()}) == len(RELEASES)
    assert not RELEASES.keys() & UNSUPPORTED.keys()

"""One tree of errors, each also of the built-in kind that fits."""

import pytest

from hfdiff.core.errors import (
    CheckpointError,
    HFDiffError,
    ImageError,
    MissingExtraError,
    ResourceError,
    SettingsError,
    some_of,
)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (SettingsError, ValueError),
        (ImageError, ValueError),
        (CheckpointError, ValueError),
        (MissingExtraError, ImportError),
        (ResourceError, RuntimeError),
    ],
)
def test_an_error_is_caught_as_ours_and_as_the_built_in(kind, builtin):
    for caught_as in (HFDiffError, builtin):
        with pytest.raises(caught_as, match="side must be 4") as caught:
            raise kind("side must be 4", hint="use 4")
        assert caught.value.hint == "use 4"


def test_a_hint_may_be_missing():
    assert HFDiffError("no").hint is None


def test_lists_of_names_are_cut_after_five():
    assert some_of(["a"]) == "a"
    assert some_of(list("abcde")) == "a, b, c, d, e"
    assert some_of(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert some_of(list("abc"), limit=1) == "a and 2 more"
    assert some_of([]) == ""

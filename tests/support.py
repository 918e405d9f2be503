"""What several test files share: where recorded reference values are, and small pictures."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = Path(__file__).parent / "fixtures" / "reference"
SHARED = ROOT.parent / "shared"


def reference(name: str) -> Path:
    """A file of recorded values of the published code: the copy in the tests, else beside us."""
    for folder in (COPIED, SHARED / "fixtures" / "reference"):
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"recorded values {name} are neither in tests/fixtures/reference nor in shared")


def shared(name: str) -> Path:
    """A file or folder of the pages beside the checkout; the test skips where they are not."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    return path

"""One ground for all runs of these tests."""

import pytest

from training_pieces import Ground


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    return Ground.prepared(tmp_path_factory.mktemp("ground"))

import pytest
import torch
from typer.testing import CliRunner

from hfdiff.cli.weights import app
from hfdiff.core import fetch
from hfdiff.core.errors import ResourceError, SettingsError
from hfdiff.core.weights import write_weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HFDIFF_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def own_file(tmp_path):
    layers = fetch.WEIGHTS["alexnet"].layers
    own = {f"features.{n}.{part}": torch.ones(1) for n in layers for part in ("weight", "bias")}
    write_weights(tmp_path / "own.safetensors", own, {})
    return tmp_path / "own.safetensors"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_offline_refuses_to_fetch():
    result = run("get", "vgg16")

    assert isinstance(result.exception, ResourceError)
    assert "forbidden by HFDIFF_OFFLINE" in str(result.exception)


def test_what_is_stored_is_not_fetched_again(own_file):
    run("get", "alexnet", "--from", own_file)

    result = run("get", "lpips")

    assert result.exit_code == 0
    assert result.stdout.startswith("alexnet  ")


def test_a_metric_that_needs_nothing_says_so():
    assert "niqe needs nothing" in run("get", "niqe").stdout


def test_a_users_own_file_is_kept_in_the_cache_offline_too(own_file, cache):
    result = run("get", "alexnet", "--from", own_file)

    assert result.exit_code == 0
    assert (cache / "hfdiff" / "weights" / "alexnet.safetensors").is_file()


def test_one_file_cannot_be_two_networks(own_file):
    result = run("get", "all", "--from", own_file)

    assert isinstance(result.exception, SettingsError)
    assert "holds one network" in str(result.exception)


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    result = run("get", "alexnet", "--from", tmp_path / "nowhere.pth")

    assert "nowhere.pth does not exist" in str(result.exception)


def test_the_list_says_what_is_here_and_how_to_get_the_rest(own_file, cache):
    run("get", "alexnet", "--from", own_file)

    result = run("list")

    assert "alexnet: stored, hash" in result.stdout
    assert "vgg16: not here; hfdiff weights get vgg16" in result.stdout
    assert str(cache) in result.stdout

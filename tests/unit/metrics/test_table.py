import contextlib
import math

import pytest
import torch

from hfdiff.core import fetch
from hfdiff.core.errors import SettingsError
from hfdiff.metrics.inputs import exact_float32
from hfdiff.metrics.table import METRICS, identity, metric_spec
from scenes import gt_of, worse

CPU = torch.device("cpu")
_LOADED = {}


@pytest.fixture(params=METRICS)
def name(request):
    missing = [key for key in METRICS[request.param].weights if fetch.stored_hash(key) is None]
    if missing:
        pytest.skip(f"weights {missing[0]} are not stored (hfdiff weights get {missing[0]})")
    return request.param


@pytest.fixture
def metric(name):
    if name not in _LOADED:
        _LOADED[name] = METRICS[name].load(CPU)
    return _LOADED[name]


def part(name, picture_01):
    if name == "niqe":
        return picture_01[..., :96, :192]  # two of its blocks
    return picture_01[..., :64, :96]


def gt_if_needed(name, gt_01):
    return gt_01 if METRICS[name].needs_gt else None


@contextlib.contextmanager
def shortened_float32():
    """What a user may have asked of the whole process."""
    switches = torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "bf16"
    yield
    for switch, precision in zip(switches, before, strict=True):
        switch.fp32_precision = precision


def test_more_blur_is_worse(name, metric):
    gt = part(name, gt_of("slope"))
    light, heavy = (metric(worse(gt, k), gt_if_needed(name, gt)).item() for k in (1, 5))

    assert (light > heavy) == (METRICS[name].better == "higher")


def test_values_of_a_batch_are_those_of_its_pictures(name, metric):
    gts = torch.cat([part(name, gt_of("bricks")), part(name, gt_of("rings"))])
    srs = torch.cat([worse(gts[i : i + 1], 1) for i in range(2)])

    whole = metric(srs, gt_if_needed(name, gts))

    singles = [metric(srs[i : i + 1], gt_if_needed(name, gts[i : i + 1])) for i in range(2)]
    torch.testing.assert_close(whole, torch.cat(singles), atol=1e-6, rtol=1e-6)


def test_values_lie_in_the_stated_range(name, metric):
    gt = part(name, gt_of("waves"))

    for sr in (worse(gt, 2), torch.rand(gt.shape, generator=torch.Generator().manual_seed(0))):
        value = metric(sr, gt_if_needed(name, gt)).item()
        assert METRICS[name].low <= value <= METRICS[name].high


def test_settings_around_a_metric_do_not_change_it(name, metric):
    gt = part(name, gt_of("bricks"))
    sr = worse(gt, 1)
    before = metric(sr, gt_if_needed(name, gt))

    with shortened_float32(), torch.autocast("cpu", dtype=torch.bfloat16):
        inside = metric(sr, gt_if_needed(name, gt))

    assert torch.equal(before, inside)


def test_the_identity_names_definition_and_weights(name):
    known = identity(name)

    assert known["name"] == name
    assert "border 0" in known["definition"]
    hashes = [value for key, value in known.items() if key.startswith("weights")]
    assert len(hashes) == len(METRICS[name].weights) + len(METRICS[name].boxed)
    assert all(len(value) == 64 for value in hashes)


@pytest.mark.parametrize(
    "name", [n for n, spec in METRICS.items() if spec.needs_gt and not spec.weights]
)
def test_a_comparing_metric_without_gt_says_so(name):
    with pytest.raises(SettingsError, match="compares with a gt, got none"):
        METRICS[name].load(CPU)(torch.zeros(1, 3, 16, 16), None)


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"metric must be one of psnr_y, .*, got 'fid'"):
        metric_spec("fid")


def test_the_identity_of_a_metric_without_its_weights_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert identity("lpips")["weights alexnet"] == "not stored"


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_exact_arithmetic_keeps_whole_float32_and_puts_the_settings_back(kind):
    def settings():
        backends = torch.backends
        cuda = backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision
        cpu = backends.mkldnn.conv.fp32_precision, backends.mkldnn.matmul.fp32_precision
        return cuda if kind == "cuda" else cpu

    before = settings()
    with exact_float32(torch.device(kind)):
        inside = settings()

    assert inside == ("ieee", "ieee")
    assert settings() == before


def test_every_range_has_its_ends_in_order():
    assert all(spec.low < spec.high <= math.inf for spec in METRICS.values())

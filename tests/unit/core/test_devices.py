"""Names of devices and dtypes become torch's own, or one sentence."""

import pytest
import torch

from hfdiff.core.devices import resolve_device, resolve_dtype
from hfdiff.core.errors import SettingsError


def test_the_cpu_is_there():
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_best_that_is_there(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    assert resolve_device("auto").type == best
    assert resolve_device() == resolve_device("auto")


@pytest.mark.parametrize("name", ["abacus", "", "cuda:x", "cpu:cpu", "0"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(SettingsError, match="is no device") as caught:
        resolve_device(name)

    assert caught.value.hint == "use auto, cpu, cuda:0 or mps"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    assert resolve_device("cuda:0") == torch.device("cuda:0")
    for name in ("cuda:1", "cuda:128"):  # torch takes the second for -128
        with pytest.raises(SettingsError, match=f"device {name} is not on this machine"):
            resolve_device(name)


def test_without_any_gpu_cuda_and_mps_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    for name in ("cuda", "mps"):
        with pytest.raises(SettingsError, match=f"device {name} is not on this machine"):
            resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "xpu", "hip", "vulkan"])
def test_devices_that_nobody_tried_are_refused(name):
    with pytest.raises(SettingsError, match=f"device {name} is not one that hfdiff runs on"):
        resolve_device(name)


def test_dtypes_are_resolved_by_name():
    assert resolve_dtype("bfloat16") == torch.bfloat16
    assert resolve_dtype("float32") == torch.float32
    with pytest.raises(SettingsError, match="dtype must be one of float32, bfloat16, float16"):
        resolve_dtype("float64")

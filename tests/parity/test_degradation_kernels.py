"""Blur kernels and gt crops against recorded draws of the published data set."""

import json

import numpy as np
import pytest
import torch

from hfdiff.degradation.crops import Crop, crop_gt
from hfdiff.degradation.kernels import GaussianKernel, SincKernel, padded, weights
from support import reference

pytestmark = pytest.mark.parity


def decoded(array):
    return json.loads(bytes(array))


def drawn_pictures(info):
    return [item for item in info["items"] if "image" in item]


@pytest.fixture(scope="module")
def kernels():
    return np.load(reference("degradation_kernels.npz"))


@pytest.fixture(scope="module")
def items():
    return np.load(reference("degradation_dataset_items.npz"))


def kernel_from(params):
    if params["type"] == "sinc":
        return SincKernel(size=params["k"], cutoff=params["cutoff"])
    return GaussianKernel(
        shape=params["type"],
        size=params["k"],
        sigma_x=params["sx"],
        sigma_y=params.get("sy"),
        rotation=params.get("th", 0.0),
        beta=params.get("beta", 1.0),
    )


class Events:
    """Recorded draws of the published data set, taken one after another."""

    def __init__(self, events):
        self._values = [event["value"] for event in events]
        self._calls = [event["call"] for event in events]

    def next(self):
        self._calls.pop(0)
        return self._values.pop(0)

    def next_is(self, call):
        return bool(self._calls) and self._calls[0] == call

    def shape_parameters(self, shape, size):
        sigma_x, sigma_y, rotation, beta = self.next(), None, 0.0, 1.0
        if shape.endswith("aniso"):
            sigma_y, rotation = self.next(), self.next()
        if shape not in ("iso", "aniso"):
            self.next()  # which side of 1
            beta = self.next()
        return GaussianKernel(
            shape=shape, size=size, sigma_x=sigma_x, sigma_y=sigma_y, rotation=rotation, beta=beta
        )

    def kernel(self, sinc_prob=0.1):
        size = self.next()
        if self.next() < sinc_prob:
            return SincKernel(size=size, cutoff=self.next())
        return self.shape_parameters(self.next(), size)

    def final_sinc(self, final_sinc_prob=0.8):
        if self.next() >= final_sinc_prob:
            return None
        size = self.next()
        return SincKernel(size=size, cutoff=self.next())


def test_every_recorded_kernel_is_met_in_float64(kernels):
    params = decoded(kernels["params_json"])

    for key, one in params.items():
        ours = padded(weights(kernel_from(one)), one.get("pad", one["k"]))
        # float64 against float64; the sinc's Bessel function comes from another formula
        np.testing.assert_allclose(ours, kernels[key], atol=1e-12, rtol=0, err_msg=key)
    assert len(params) == 23


def test_kernels_of_recorded_data_set_items_follow_from_their_draws(items):
    info = decoded(items["info_json"])
    sinc_seen = 0

    for item in drawn_pictures(info):
        events = Events(item["events"])
        events.next()  # flip
        while events.next_is("randint"):
            events.next()
        first, second, final = events.kernel(), events.kernel(), events.final_sinc()
        pulse = np.ones((1, 1)) if final is None else weights(final)
        sinc_seen += final is not None
        key = item["key"]
        # the recorded ones were cast to float32
        for name, ours, size in (("kernel1", weights(first), 21), ("kernel2", weights(second), 15),
                                 ("sinc", pulse, 15)):  # fmt: skip
            np.testing.assert_allclose(
                padded(ours, size), items[f"{key}_{name}"], atol=1e-6, rtol=0, err_msg=key + name
            )
    assert 0 < sinc_seen < len(drawn_pictures(info))


def test_every_shape_of_the_mixed_sampler_follows_from_its_draws(items):
    mixed = [item for item in decoded(items["info_json"])["items"] if "image" not in item]

    assert len(mixed) == 18
    for item in mixed:
        events = Events(item["events"])
        size = events.next()
        ours = weights(events.shape_parameters(events.next(), size))
        np.testing.assert_allclose(
            ours, items[item["key"]], atol=1e-12, rtol=0, err_msg=item["key"]
        )


def test_gt_of_recorded_data_set_items_is_flipped_cropped_filled_and_shrunk_alike(items):
    info = decoded(items["info_json"])
    compared = 0

    for item in drawn_pictures(info):
        if f"{item['key']}_gt" not in items.files:
            continue
        samples = items[f"image_{item['image']}"]
        events = Events(item["events"])
        flip = events.next() < 0.5
        top, left = (events.next(), events.next()) if events.next_is("randint") else (0, 0)
        side = max(min(samples.shape[:2]), info["gt_size"])
        crop = Crop(flip=flip, side=side, top=top, left=left)

        gt_01 = crop_gt(samples, crop, gt_size=info["gt_size"])

        expected = torch.from_numpy(items[f"{item['key']}_gt"])
        torch.testing.assert_close(gt_01, expected, atol=1e-6, rtol=0)
        compared += 1
    assert compared == 10

"""Fixtures of all tests: one torch thread, no network, a home of their own."""

import socket

import pytest
import torch

from hfdiff.upscaling.upscaler import Upscaler


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Tests never reach the network: only sockets of this machine are let through."""
    real = socket.socket.connect

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise AssertionError(f"a test tried to reach {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def identity() -> Upscaler:
    """The model without weights."""
    return Upscaler.from_pretrained("identity", device="cpu")

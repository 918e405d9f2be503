"""A small frozen feature network in the place of DINOv2, and random weights of its real size."""

import torch
from torch import Tensor, nn

from hfdiff.nn.dino import Backbone, PreparationConfig, Tokens
from support import recipe_tensor

WIDTH, DEPTH, POSITIONS = 384, 12, 37 * 37 + 1


class PatchBody(nn.Module):
    """Patches of 14 through two linear layers; the class token is their mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 14, stride=14)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, normalised: Tensor) -> Tokens:
        patches = self.mix(torch.tanh(self.patches(normalised))).flatten(2).mT
        return Tokens(patches.mean(1), patches)


def small_backbone(width: int = 12, size: int = 28) -> Backbone:
    """Its tokens have about the spread of DINOv2's."""
    body = PatchBody(width)
    with torch.no_grad():
        for name, parameter in body.named_parameters():
            parameter.copy_(4 * recipe_tensor(name, parameter.shape))
    return Backbone(body, preparation=PreparationConfig(size=size), origin="a test")


def vits14(registers: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a ViT-S/14 in DINOv2's original layout, small enough to stay finite."""
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, POSITIONS, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    if registers:
        shapes["register_tokens"] = (1, registers, WIDTH)
    for layer in range(DEPTH):
        for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes[f"blocks.{layer}.{part}.weight"] = (rows, columns)
            shapes[f"blocks.{layer}.{part}.bias"] = (rows,)
        for part in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"blocks.{layer}.{part}"] = (WIDTH,)
        for part in ("ls1.gamma", "ls2.gamma"):
            shapes[f"blocks.{layer}.{part}"] = (WIDTH,)
    generator = torch.Generator().manual_seed(7)
    return {key: 0.05 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}

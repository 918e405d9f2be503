"""Shifted-window attention as the published denoiser has it (facts c.5, c.6).

Tensors stay ``[B, E, H, W]``; all norms are group norms. Sides must be multiples of the window.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.nn.blocks import FloatGroupNorm

MASKED = -100.0
"""What is added to the logit of a pair of tokens that must not see each other."""


class SwinLayer(nn.Module):
    """Embed, a few window-attention blocks, project back; without a residual around it.

    Args:
        channels: Width C outside.
        width: Width E of the blocks.
        depth: Number of blocks; every second one is shifted.
        heads: Attention heads.
        window: The configured window side.
        resolution: The side that the level is CONFIGURED for. When the window covers it nothing
            is shifted, whatever the size of the actual input (published rule, facts c.5).
        mlp_ratio: Hidden width of the blocks' MLP, as a multiple of E.
        patch_norm: Group norms after both projections.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        depth: int,
        heads: int,
        window: int,
        resolution: int,
        mlp_ratio: float,
        patch_norm: bool,
    ) -> None:
        super().__init__()
        shift = window // 2 if resolution > window else 0
        side = min(window, resolution)
        hidden = int(width * mlp_ratio)
        self.patch_embed = _Projection(channels, width, norm=patch_norm)
        self.patch_unembed = _Projection(width, channels, norm=patch_norm)
        self.blocks = nn.ModuleList(
            SwinBlock(width, hidden, heads=heads, window=side, shift=shift * (d % 2))
            for d in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same shape."""
        x = self.patch_embed(x)
        for block in self.blocks:
            x = block(x)
        return self.patch_unembed(x)


class SwinBlock(nn.Module):
    """x + attention in (shifted) windows, then x + MLP, each after a group norm."""

    def __init__(self, width: int, hidden: int, *, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = FloatGroupNorm(width)
        self.attn = WindowAttention(width, heads=heads, window=window, shift=shift)
        self.norm2 = FloatGroupNorm(width)
        self.mlp = _MLP(width, hidden)
        _ignore_constant(self, "attn_mask")

    def forward(self, x: Tensor) -> Tensor:
        """``[B, E, H, W]`` to the same shape."""
        x = x + self._attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor) -> Tensor:
        if not self.shift:
            return self.attn(x)
        shifted = x.roll((-self.shift, -self.shift), dims=(2, 3))
        return self.attn(shifted).roll((self.shift, self.shift), dims=(2, 3))


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias per relative position.

    The relative index and the mask are constants: they are computed here and never stored. A
    checkpoint may hold the index; it is ignored.
    """

    relative_position_index: Tensor
    last_row_mask: Tensor | None

    def __init__(self, width: int, *, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        table = torch.empty((2 * window - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)
        mask = published_shift_mask(window, shift) if shift else None
        self.register_buffer("last_row_mask", mask, persistent=False)
        _ignore_constant(self, "relative_position_index")

    def forward(self, x: Tensor) -> Tensor:
        """``[B, E, H, W]`` (already shifted) to the same shape."""
        tokens = _to_windows(x, self.window)
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [windows, heads, w * w, E / heads]
        out = self._attend(q, k, v, x.shape[0] * (x.shape[3] // self.window))
        return _from_windows(self.proj(out.transpose(1, 2).flatten(2)), x, self.window)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, in_last_row: int) -> Tensor:
        """Windows are ordered by row first, so the masked ones are the last ``in_last_row``."""
        bias = self._bias().to(q.dtype)
        if self.last_row_mask is None:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        free, last = slice(None, -in_last_row), slice(-in_last_row, None)
        masked = bias + self.last_row_mask.to(q.dtype)
        return torch.cat(
            [
                F.scaled_dot_product_attention(q[free], k[free], v[free], attn_mask=bias),
                F.scaled_dot_product_attention(q[last], k[last], v[last], attn_mask=masked),
            ]
        )

    def _bias(self) -> Tensor:
        table = self.relative_position_bias_table[self.relative_position_index]
        return table.permute(2, 0, 1)[None]  # [1, heads, w * w, w * w]


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens in a window, int64 ``[w * w, w * w]``."""
    row = torch.arange(window).repeat_interleave(window)
    column = torch.arange(window).repeat(window)
    rows = row[:, None] - row[None, :] + window - 1
    columns = column[:, None] - column[None, :] + window - 1
    return rows * (2 * window - 1) + columns


def published_shift_mask(window: int, shift: int) -> Tensor:
    """The mask that published weights were trained with, for windows of the LAST row only.

    This is not the usual Swin mask. In the last window row a pair is masked when one token lies in
    window columns below w - s and the other does not; there is no separation by rows, and nothing
    is masked in any other row, the last window column included. (The originals label regions along
    rows only and read each window out transposed.) The usual mask changes outputs by up to 0.4,
    so this one is kept (facts c.6).

    Returns:
        Float32 ``[w * w, w * w]``, 0 or -100; the same for every window of the last row.
    """
    wrapped = torch.arange(window).repeat(window) >= window - shift
    return MASKED * (wrapped[:, None] != wrapped[None, :]).float()


class _Projection(nn.Module):
    def __init__(self, channels: int, out_channels: int, *, norm: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out_channels, 1)
        self.norm = FloatGroupNorm(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x))


class _MLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def _to_windows(x: Tensor, w: int) -> Tensor:
    """``[B, E, H, W]`` to ``[(H/w) * B * (W/w), w * w, E]``: row of windows, sample, column."""
    B, E, H, W = x.shape
    x = x.view(B, E, H // w, w, W // w, w).permute(2, 0, 4, 3, 5, 1)
    return x.reshape(-1, w * w, E)


def _from_windows(tokens: Tensor, like: Tensor, w: int) -> Tensor:
    B, E, H, W = like.shape
    x = tokens.view(H // w, B, W // w, w, w, E).permute(1, 5, 0, 3, 2, 4)
    return x.reshape(B, E, H, W)


def _ignore_constant(module: nn.Module, name: str) -> None:
    """Let published checkpoints carry a constant of a module which is computed here."""

    def drop(_: nn.Module, state_dict: dict[str, Tensor], prefix: str, *__: object) -> None:
        state_dict.pop(prefix + name, None)

    module.register_load_state_dict_pre_hook(drop)  # type: ignore[no-untyped-call]  # torch's own

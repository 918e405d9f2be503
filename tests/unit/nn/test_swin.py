import pytest
import torch
from torch import Tensor

from hfdiff.nn.swin import SwinLayer, WindowAttention, published_shift_mask, relative_position_index


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def windows_of(x: Tensor, w: int) -> Tensor:
    """The plain reading order: sample, window row, window column; ``[n, w * w, E]``."""
    B, E, H, W = x.shape
    tiles = x.unfold(2, w, w).unfold(3, w, w)  # [B, E, H/w, W/w, w, w]
    return tiles.permute(0, 2, 3, 4, 5, 1).reshape(B * (H // w) * (W // w), w * w, E)


def plain_attention(attention: WindowAttention, x: Tensor, mask: Tensor) -> Tensor:
    """Facts c.5 and c.6 word by word, with one mask per window ``[windows, N, N]``."""
    tokens = windows_of(x, attention.window)
    n, N, E = tokens.shape
    q, k, v = attention.qkv(tokens).view(n, N, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    table = attention.relative_position_bias_table[relative_position_index(attention.window)]
    logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + table.permute(2, 0, 1)
    logits = logits + mask.repeat(n // len(mask), 1, 1)[:, None]
    return attention.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(n, N, E))


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (4, 12)])
def test_shifted_attention_masks_the_last_row_of_windows_only(size):
    attention = WindowAttention(8, heads=2, window=4, shift=2)
    torch.nn.init.normal_(
        attention.relative_position_bias_table, generator=torch.Generator().manual_seed(1)
    )
    x = random(2, 8, *size)
    rows, columns = size[0] // 4, size[1] // 4
    mask = torch.zeros(rows, columns, 16, 16)
    mask[-1] = published_shift_mask(4, 2)

    ours = windows_of(attention(x), 4)

    expected = plain_attention(attention, x, mask.flatten(0, 1))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_unshifted_attention_has_no_mask():
    attention = WindowAttention(8, heads=2, window=4, shift=0)
    x = random(2, 8, 8, 12)

    ours = windows_of(attention(x), 4)

    expected = plain_attention(attention, x, torch.zeros(6, 16, 16))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_the_published_mask_separates_columns_and_not_rows():
    """This is the fault that published weights were trained with (facts c.6)."""
    mask = published_shift_mask(4, 2).view(4, 4, 4, 4)  # row, column of i, row, column of j

    assert (mask[:, :2, :, 2:] == -100).all()
    assert (mask[:, 2:, :, :2] == -100).all()
    assert (mask[:, :2, :, :2] == 0).all()
    assert (mask[:, 2:, :, 2:] == 0).all()


def test_the_relative_index_counts_row_and_column_distance():
    index = relative_position_index(3).view(3, 3, 3, 3)

    assert index[0, 0, 0, 0] == 2 * 5 + 2
    assert index[2, 1, 0, 2] == (2 + 2) * 5 + (-1 + 2)
    assert sorted(set(index.flatten().tolist())) == list(range(25))


def layer(window: int, resolution: int, **changes: bool) -> SwinLayer:
    return SwinLayer(
        32,
        64,
        depth=3,
        heads=2,
        window=window,
        resolution=resolution,
        mlp_ratio=1.5,
        patch_norm=changes.get("patch_norm", False),
    )


def test_every_second_block_is_shifted_by_half_a_window():
    assert [block.shift for block in layer(4, 8).blocks] == [0, 2, 0]


@pytest.mark.parametrize("resolution", [4, 2])
def test_a_window_that_covers_the_configured_side_is_never_shifted(resolution):
    blocks = layer(4, resolution).blocks

    assert [block.shift for block in blocks] == [0, 0, 0]
    assert blocks[0].attn.window == resolution


@pytest.mark.parametrize("patch_norm", [True, False])
def test_a_layer_keeps_the_shape(patch_norm):
    assert layer(4, 8, patch_norm=patch_norm)(random(2, 32, 8, 12)).shape == (2, 32, 8, 12)


def test_constants_are_not_stored():
    keys = layer(4, 8).state_dict().keys()

    assert not [key for key in keys if key.endswith(("index", "mask"))]

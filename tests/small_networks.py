"""Configurations of the small networks of the recorded values (small_networks.json)."""

from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNetConfig

SMALL_UNETS = {
    "small_a": SwinUNetConfig(
        image_size=32,
        model_channels=32,
        num_res_blocks=(2, 1, 1, 2),
        attention_resolutions=(32, 16, 8, 4),
        swin_embed_dim=64,
        num_head_channels=16,
        window_size=4,
        mlp_ratio=2,
    ),
    "small_b": SwinUNetConfig(
        image_size=16,
        in_channels=15,
        model_channels=32,
        channel_mult=(2, 1, 2),
        num_res_blocks=(1, 1, 1),
        attention_resolutions=(8,),
        swin_depth=3,
        swin_embed_dim=32,
        num_head_channels=16,
        window_size=4,
        mlp_ratio=1.5,
        use_scale_shift_norm=False,
        resblock_updown=True,
        patch_norm=True,
    ),
    "small_c": SwinUNetConfig(
        image_size=16,
        model_channels=32,
        channel_mult=(1, 2),
        num_res_blocks=(1, 1),
        attention_resolutions=(16, 8),
        swin_depth=1,
        swin_embed_dim=32,
        num_head_channels=16,
        conv_resample=False,
        mlp_ratio=2,
    ),
    "small_d": SwinUNetConfig(
        image_size=16,
        in_channels=67,
        lq_size=64,
        model_channels=32,
        channel_mult=(1, 2),
        num_res_blocks=(1, 1),
        attention_resolutions=(16, 8),
        swin_embed_dim=32,
        num_head_channels=16,
        window_size=4,
        mlp_ratio=2,
    ),
}

SMALL_AUTOENCODERS = {
    "small": VQAutoencoderConfig(n_embed=64, ch=32, num_res_blocks=1, resolution=64),
    "small_attn": VQAutoencoderConfig(
        embed_dim=4,
        n_embed=48,
        z_channels=5,
        ch=32,
        ch_mult=(1, 2),
        attn_resolutions=(16,),
        resolution=32,
    ),
}

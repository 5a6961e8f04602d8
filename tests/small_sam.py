"""A SAM of the official classes with seeded random weights and a thin, shallow encoder."""

from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer


def small_sam(side: int = 1024) -> Sam:
    """Return the model for square images of `side` pixels."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=side,
        depth=1,
        embed_dim=32,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        window_size=14,
    )
    transformer = TwoWayTransformer(depth=1, embedding_dim=256, mlp_dim=64, num_heads=8)
    prompts = PromptEncoder(
        embed_dim=256, image_embedding_size=(side // 16,) * 2, input_image_size=(side, side), mask_in_chans=16
    )
    return Sam(encoder, prompts, MaskDecoder(transformer_dim=256, transformer=transformer)).eval()

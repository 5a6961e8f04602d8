"""The prompt encoder and the mask decoder of an official SAM as one function, which serving and the ONNX export share.

The result is the same up to rounding. What depends on the weights alone is computed once, and the mask is enlarged by
products of matrices, so that the cells of the image are never transposed.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional


class SamDecoder(nn.Module):
    """Features of an image and prompts -> mask logits and predicted IoU.

    Parameters
    ----------
    model : Sam of the official classes; its weights are shared and must not change from now on.
    """

    # What is registered below; torch's types say of every attribute that it may be a module.
    prompts: Any
    decoder: Any
    tokens: Tensor
    places: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor

    def __init__(self, model: Sam) -> None:
        super().__init__()
        self.prompts, self.decoder = model.prompt_encoder, model.mask_decoder
        self.side = model.image_encoder.img_size
        first, _, _, second, _ = self.decoder.output_upscaling
        with torch.no_grad():
            tokens = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
            self.register_buffer("tokens", tokens[None])
            self.register_buffer("places", self.prompts.get_dense_pe().flatten(2).transpose(1, 2))
            for name, layer in (("first", first), ("second", second)):
                # A transposed convolution whose stride is its kernel is a product, with four results for each cell.
                self.register_buffer(name, layer.weight.permute(2, 3, 1, 0).flatten(0, 2))
                self.register_buffer(f"{name}_bias", layer.bias.repeat(4))

    def forward(
        self,
        features: Tensor,
        coords: Tensor,
        labels: Tensor,
        logits: Tensor | None = None,
        has_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts on one image.

        Parameters
        ----------
        features : (1, C, h, w), the image encoder's output.
        coords : (B, N, 2) xy in pixels of the encoder's square.
        labels : (B, N): 1 positive, 0 negative, 2 and 3 the corners of a box, -1 SAM's padding point.
        logits : (B, 1, 4h, 4w), low-resolution logits fed back; None for none.
        has_logits : (B,), 0 where `logits` do not count and 1 elsewhere; None for 1 everywhere.

        Returns
        -------
        tuple of Tensor
            Logits (B, 4, 4h, 4w), the single mask first, and predicted IoU (B, 4).
        """
        prompts = self._prompt_tokens(coords, labels)
        dense = self.prompts.no_mask_embed.weight[:, :, None, None]
        if logits is not None:
            fed_back = self.prompts.mask_downscaling(logits)
            if has_logits is not None:
                fed_back = torch.where(has_logits[:, None, None, None] > 0, fed_back, dense)
            dense = fed_back
        # Without logits, all prompts share these cells until the first layer has changed them.
        cells = (features + dense).flatten(2).transpose(1, 2).contiguous()
        tokens = torch.cat([self.tokens.expand(prompts.shape[0], -1, -1), prompts], 1)
        answered, cells = self._transform(tokens, cells)
        return self._masks(answered, cells), self.decoder.iou_prediction_head(answered[:, 0])

    def _prompt_tokens(self, coords: Tensor, labels: Tensor) -> Tensor:
        tokens: Tensor = self.prompts.pe_layer._pe_encoding((coords + 0.5) / self.side)
        label = labels[..., None]
        tokens = tokens * (label != -1) + self.prompts.not_a_point_embed.weight * (label == -1)
        for index, embedding in enumerate(self.prompts.point_embeddings):
            tokens = tokens + embedding.weight * (label == index)
        return tokens

    def _transform(self, tokens: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, C) and cells (B, h * w, C) after the two-way transformer."""
        transformer, queries = self.decoder.transformer, tokens
        placed = cells + self.places
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                queries = layer.norm1(layer.self_attn(queries, queries, queries))
            else:
                asked = queries + tokens
                queries = layer.norm1(queries + layer.self_attn(asked, asked, queries))
            looked = _tokens_look(layer.cross_attn_token_to_image, queries + tokens, placed, cells)
            queries = layer.norm2(queries + looked)
            queries = layer.norm3(queries + layer.mlp(queries))
            answered = _cells_look(layer.cross_attn_image_to_token, placed, queries + tokens, queries)
            cells = layer.norm4(cells + answered)
            placed = cells + self.places
        looked = _tokens_look(transformer.final_attn_token_to_image, queries + tokens, placed, cells)
        return transformer.norm_final_attn(queries + looked), cells

    def _masks(self, tokens: Tensor, cells: Tensor) -> Tensor:
        decoder, (rows, columns) = self.decoder, self.prompts.image_embedding_size
        norm = decoder.output_upscaling[1]
        halves = _split(functional.linear(cells, self.first, self.first_bias), 2, 4)
        halves = functional.gelu(functional.layer_norm(halves, (len(norm.weight),), norm.weight, norm.bias, norm.eps))
        quarters = functional.gelu(_split(functional.linear(halves, self.second, self.second_bias), 3, 4))
        heads = decoder.output_hypernetworks_mlps
        weights = torch.stack([head(tokens[:, 1 + index]) for index, head in enumerate(heads)], 2)
        masks = quarters.flatten(1, 3) @ weights
        # Rows and columns of the cell, of its half and of that one's half.
        masks = masks.reshape(-1, rows, columns, 2, 2, 2, 2, len(heads)).permute(0, 7, 1, 3, 5, 2, 4, 6)
        return masks.reshape(-1, len(heads), 4 * rows, 4 * columns)


# A layer projects each of the 4096 cells, though few tokens meet them. Projecting the tokens of each head by the cells'
# weights instead gives the same products in a third of the operations.


def _tokens_look(layer: Attention, asking: Tensor, placed: Tensor, cells: Tensor) -> Tensor:
    """Return the attention of tokens (B, T, C) to keys and values (B or 1, N, C)."""
    heads = layer.num_heads
    # The bias of the keys adds the same to all scores of a token, which the softmax takes away.
    scores = _by_head(layer.q_proj(asking), heads) @ _split(layer.k_proj.weight, 0, heads)
    scores = scores.flatten(1, 2) @ placed.transpose(1, 2)
    seen = _split(_scaled(layer, scores).softmax(-1) @ cells, 1, heads)
    values = seen @ _split(layer.v_proj.weight, 0, heads).transpose(1, 2)
    projected: Tensor = layer.out_proj(values.transpose(1, 2).flatten(2) + layer.v_proj.bias)
    return projected


def _cells_look(layer: Attention, placed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return the attention of cells (B or 1, N, C) to keys and values (B, T, C)."""
    heads = layer.num_heads
    keys, values = (_by_head(part, heads) for part in (layer.k_proj(keys), layer.v_proj(values)))
    folded = (keys @ _split(layer.q_proj.weight, 0, heads)).flatten(1, 2)
    biases = (keys @ layer.q_proj.bias.reshape(heads, -1, 1)).flatten(1)
    scores = placed @ folded.transpose(1, 2) + biases[:, None]
    shares = _split(_scaled(layer, scores), 2, heads).softmax(-1).flatten(2)
    folded = (values @ _split(layer.out_proj.weight.t(), 0, heads)).flatten(1, 2)
    mixed: Tensor = shares @ folded + layer.out_proj.bias
    return mixed


def _by_head(projected: Tensor, heads: int) -> Tensor:
    """Return (B, heads, N, d) of (B, N, heads * d)."""
    return _split(projected, 2, heads).transpose(1, 2)


def _split(tensor: Tensor, axis: int, parts: int) -> Tensor:
    """Return a tensor with an axis split into (parts, rest)."""
    return tensor.reshape(*tensor.shape[:axis], parts, -1, *tensor.shape[axis + 1 :])


def _scaled(layer: Attention, scores: Tensor) -> Tensor:
    scaled: Tensor = scores * (layer.internal_dim // layer.num_heads) ** -0.5
    return scaled

"""TS-CAM: a vision transformer whose patch tokens make class maps, coupled with what its class token attends to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from fer_batch.models.class_maps import ClassMaps
from fer_batch.models.map_heads import whole
from fer_batch.types import InputError

WIDTHS = {"tiny": 192, "small": 384, "base": 768}  # a head is 64 wide
PATCH = 16


def attention_of_class_token(
    tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, n_heads: int
) -> torch.Tensor:
    r"""What the class token of a block attends to, :math:`\mathrm{softmax}(q_{cls} k^T / \sqrt{D})`, mean over heads.

    Parameters
    ----------
    tokens : shape (N, 1 + P, E), floating
        Normalised input of the attention; the class token is the first.
    weight : shape (3 E, E)
        Of queries, keys and values.
    bias : shape (3 E,)
    n_heads
        Each is D = E / n_heads wide.

    Returns
    -------
    shape (N, P), in [0, 1]
        The share of the class token itself is left out.
    """
    width = tokens.shape[2]
    projected = nn.functional.linear(tokens, weight[: 2 * width], None if bias is None else bias[: 2 * width])
    query, key = projected.unflatten(2, (2, n_heads, -1)).unbind(2)
    logits = torch.einsum("nhd,nthd->nht", query[:, 0], key) / (width // n_heads) ** 0.5
    return logits.softmax(2).mean(1)[:, 1:]


class ClassAttention(nn.Module):
    """A place at which the summed attention of the class token can be read by name; it changes nothing."""

    def forward(self, rows: Iterable[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Sum of the blocks' attention, each of shape (N, P), as maps (N, 1, h, w) of that dtype."""
        return torch.stack(tuple(rows)).sum(0).unflatten(1, grid)[:, None]


class TsCam(VisionTransformer):
    """A DeiT whose head is a 3x3 convolution over the grid of patch tokens, and its mean the logits.

    Parameters
    ----------
    n_outputs
        Number of logits.
    width
        Of a token.
    size
        Side of the square images in pixels, a multiple of 16; weights of DeiT are for 224.
    depth
        Number of blocks.

    Attributes
    ----------
    feature_layer
        Tokens that the head reads.
    attention_layer
        Summed attention of the class token, as maps.

    Raises
    ------
    InputError
        If the size is no multiple of a patch, or leaves fewer than four.

    References
    ----------
    Gao et al. (2021), TS-CAM: token semantic coupled attention map for weakly supervised object localization. ICCV.
    """

    feature_layer, attention_layer = "norm", "class_attention"

    def __init__(self, n_outputs: int, width: int, size: int = 224, depth: int = 12) -> None:
        if whole("size", size) % PATCH or size < 2 * PATCH:
            raise InputError(f"options.size must be a multiple of {PATCH} pixels, at least {2 * PATCH}; got {size}")
        super().__init__(
            img_size=size, patch_size=PATCH, embed_dim=width, depth=whole("depth", depth), num_heads=width // 64
        )
        self.size = size
        self.num_classes = n_outputs
        self.head = nn.Conv2d(width, n_outputs, 3, padding=1)  # type: ignore[assignment]  # it is called, no more
        self.class_attention = ClassAttention()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Logits, shape (N, n_outputs), of images (N, 3, size, size) in the dtype of the weights."""
        semantic, _ = self._semantic(x)
        return semantic.mean((2, 3))

    def class_maps(self, x: torch.Tensor) -> ClassMaps:
        """Semantic maps times the summed attention, of images (N, 3, size, size) in the dtype of the weights."""
        semantic, attention = self._semantic(x)
        coupled = semantic * attention
        return ClassMaps(semantic.mean((2, 3)), semantic, lambda frame, output: coupled[frame, output])

    def _semantic(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps of the head (N, n_outputs, h, w), and the attention (N, 1, h, w)."""
        tokens = self.norm_pre(self._pos_embed(self.patch_embed(x)))
        rows, blocks = [], cast(Iterable[Any], self.blocks)
        for block in blocks:
            qkv = block.attn.qkv
            rows.append(attention_of_class_token(block.norm1(tokens), qkv.weight, qkv.bias, block.attn.num_heads))
            tokens = block(tokens)
        grid = self.patch_embed.grid_size
        attention = self.class_attention(rows, grid)
        return self.head(self.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, grid)), attention


def deit(kind: str, n_outputs: int, size: int = 224, depth: int = 12) -> nn.Module:
    """TS-CAM on DeiT-tiny, -small or -base, with timm's names of the backbone."""
    return TsCam(n_outputs, WIDTHS[kind], size, depth)

"""APViT: a transformer over the maps of a convolutional network that drops the patches and tokens with least attention.

Modules are named as the released files name them, so that these load without a key map.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fer_batch.models.map_heads import not_negative, whole
from fer_batch.types import InputError


def kept_patches(features: torch.Tensor, keep: int) -> torch.Tensor:
    """The patches with the most attention, the sum of absolute values over the channels, in their own order.

    Parameters
    ----------
    features : shape (N, C, h, w), floating
    keep
        How many of the h w patches.

    Returns
    -------
    shape (N, keep), int64
        Indices of patches, row by row.

    References
    ----------
    Xue et al. (2022), attentive patch pooling.
    """
    return features.abs().sum(1).flatten(1).topk(keep, dim=1).indices.sort(1).values


def kept_tokens(query: torch.Tensor, key: torch.Tensor, keep_rate: float) -> torch.Tensor:
    """The class token, and the share of the others whose products with its query are largest, in their own order.

    Parameters
    ----------
    query, key : shape (N, n_heads, 1 + T, D), floating
        The class token is the first; products are summed over the heads, before any softmax.
    keep_rate
        Share of the T others that stay; rounded down, at least one.

    Returns
    -------
    shape (N, 1 + kept), int64
        Indices of tokens.

    References
    ----------
    Xue et al. (2022), attentive token pooling.
    """
    scores = torch.einsum("nhd,nhtd->nt", query[:, :, 0], key[:, :, 1:])
    keep = max(int(scores.shape[1] * keep_rate), 1)
    kept = scores.topk(keep, dim=1).indices.sort(1).values + 1
    return torch.cat([torch.zeros_like(kept[:, :1]), kept], 1)


def taken(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Tokens by their indices.

    Parameters
    ----------
    tokens : shape (N, T, E), floating
    index : shape (N, k), int64

    Returns
    -------
    shape (N, k, E), dtype of the tokens
    """
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


class Projections(nn.Module):
    """Queries, keys and values of an attention, and its output."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)


class Mlp(nn.Module):
    """Two dense layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens of tokens, both of shape (N, T, E) and the weights' dtype."""
        found: torch.Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return found


class PoolingBlock(nn.Module):
    """A transformer block that drops tokens between its attention and its dense layers.

    Parameters
    ----------
    width, n_heads
        Of a token, and how many heads share it.
    keep_rate
        Share of the tokens that stays; 1 drops none.
    """

    def __init__(self, width: int, n_heads: int, keep_rate: float) -> None:
        super().__init__()
        self.keep_rate = keep_rate
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Projections(width, n_heads), Mlp(width, 3 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens, shape (N, 1 + kept, E), of tokens (N, 1 + T, E) in the dtype of the weights."""
        qkv = self.attn.qkv(self.norm1(x)).unflatten(2, (3, self.attn.n_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attn.proj(attended.transpose(1, 2).flatten(2))
        if self.keep_rate < 1:
            x = taken(x, kept_tokens(query.detach(), key.detach(), self.keep_rate))
        found: torch.Tensor = x + self.mlp(self.norm2(x))
        return found


class PoolingTransformer(nn.Module):
    """Tokens of the patches of feature maps that stay, through blocks, to the class token."""

    def __init__(
        self, n_channels: int, n_patches: int, keep: int, rates: list[float], width: int, n_heads: int
    ) -> None:
        super().__init__()
        self.keep = keep
        self.projs = nn.ModuleList([nn.Conv2d(n_channels, width, 1)])
        self.cls_token, self.cls_pos_embed = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.patch_pos_embed = nn.Parameter(torch.zeros(1, n_patches, width))
        self.blocks = nn.ModuleList(PoolingBlock(width, n_heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for parameter in (self.cls_token, self.patch_pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Class token, shape (N, E), of feature maps (N, C, h, w) in the dtype of the weights."""
        projected = self.projs[0](features)
        tokens = projected.flatten(2).transpose(1, 2) + self.patch_pos_embed
        tokens = taken(tokens, kept_patches(projected.detach(), self.keep))
        x = torch.cat([(self.cls_token + self.cls_pos_embed).expand(tokens.shape[0], -1, -1), tokens], 1)
        for block in self.blocks:
            x = block(x)
        found: torch.Tensor = self.norm(x)[:, 0]
        return found


class _Head(nn.Module):
    def __init__(self, width: int, n_outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


class Apvit(nn.Module):
    """Maps of a convolutional network (`extractor`), a transformer that pools (`vit`), and a dense layer (`head`).

    Parameters
    ----------
    extractor
        From images to feature maps.
    n_channels, stride
        Of those maps, and pixels between two positions.
    n_outputs
        Number of logits.
    size
        Side of the square images in pixels, a multiple of the stride.
    keep
        Patches that enter the transformer.
    keep_rate
        Share of the tokens that each block of the second half keeps.
    depth, width, n_heads
        Of the transformer.

    Attributes
    ----------
    feature_layer
        Whose mean map is its attention (methods 7.2).

    Raises
    ------
    InputError
        If a number is impossible.

    References
    ----------
    Xue et al. (2022), Vision transformer with attentive pooling for robust facial expression recognition. IEEE TAFFC.
    """

    feature_layer = "extractor"

    def __init__(
        self,
        extractor: nn.Module,
        n_channels: int,
        stride: int,
        n_outputs: int,
        size: int = 112,
        keep: int = 160,
        keep_rate: float = 0.9,
        depth: int = 8,
        width: int = 768,
        n_heads: int = 8,
    ) -> None:
        super().__init__()
        if whole("size", size) % stride:
            raise InputError(f"options.size must be a multiple of {stride} pixels for this backbone, got {size}")
        n_patches = (size // stride) ** 2
        if whole("keep", keep) > n_patches:
            raise InputError(f"options.keep: {size} pixels give {n_patches} patches, {keep} cannot be kept")
        if not not_negative("keep_rate", keep_rate, most=1):
            raise InputError("options.keep_rate must be above 0; 1 keeps every token")
        if whole("width", width) % whole("n_heads", n_heads):
            raise InputError(f"options.width {width} cannot be shared by {n_heads} heads")
        whole_blocks = (whole("depth", depth) + 1) // 2
        rates = [1.0] * whole_blocks + [float(keep_rate)] * (depth - whole_blocks)
        self.size = size
        self.extractor = extractor
        self.vit = PoolingTransformer(n_channels, n_patches, keep, rates, width, n_heads)
        self.head = _Head(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, size, size) in the dtype of the weights."""
        found: torch.Tensor = self.head(self.vit(self.extractor(x)))
        return found

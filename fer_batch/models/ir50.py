"""IR-50: the residual network of face recognition on 112x112 crops, without its last stage and embedding.

Modules are named as the released files of APViT name them.
"""

from __future__ import annotations

import torch
from torch import nn

STAGES = ((64, 3), (128, 4), (256, 14))  # channels and units; each stage halves the resolution


class Unit(nn.Module):
    """BatchNorm, convolution, PReLU, convolution with the stride, BatchNorm; and a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if n_in != n_out:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(n_in),
            nn.Conv2d(n_in, n_out, 3, 1, 1, bias=False),
            nn.PReLU(n_out),
            nn.Conv2d(n_out, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps, shape (N, n_out, h, w), of maps (N, n_in, H, W) in the dtype of the weights."""
        found: torch.Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return found


class Ir50(nn.Module):
    """The first three stages of IR-50: 256 maps of an eighth of the side of the images.

    References
    ----------
    Deng et al. (2019), ArcFace. CVPR: the units; Xue et al. (2022): the part that APViT takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        self.body = nn.ModuleList()
        n_in = 64
        for n_out, units in STAGES:
            self.body.append(nn.Sequential(*(Unit(n_out if k else n_in, n_out, 1 if k else 2) for k in range(units))))
            n_in = n_out
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps, shape (N, 256, H / 8, W / 8), of images (N, 3, H, W) in the dtype of the weights."""
        x = self.input_layer(x)
        for stage in self.body:
            x = stage(x)
        return x

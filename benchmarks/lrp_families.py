"""Networks that `lrp_architectures.py` measures, in full and small ones by family, and their random statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.xception import Block
from torch import nn
from torch.nn import functional
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from fer_batch.models.backbone import build

# the networks of the study of standardised heatmaps and ours, then torchvision's and timm's; name to image size
NETWORKS: dict[str, int] = {
    "resnet18": 64,
    "alexnet": 227,
    "weinet": 64,
    "songnet": 96,
    "silnet": 64,
    "vgg16": 64,
    "vgg19": 64,
    "resnet50": 64,
    "resnet101v2": 64,
    "inception_v3": 96,
    "xception": 64,
    "mobilenet_v3_large": 64,
    "efficientnet_v2_b0": 64,
    **{
        f"torchvision:{name}": 64
        for name in (
            "vgg11_bn",
            "squeezenet1_1",
            "resnext50_32x4d",
            "wide_resnet50_2",
            "densenet121",
            "googlenet",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "mnasnet0_5",
            "regnet_x_400mf",
            "regnet_y_400mf",
            "efficientnet_b0",
            "efficientnet_v2_s",
        )
    },
    **{
        f"timm:{name}": 64
        for name in (
            "resnet10t",
            "seresnet50",
            "ecaresnet26t",
            "resnetv2_50",
            "densenet121",
            "repvgg_a0",
            "mobileone_s0",
            "legacy_xception",
            "xception41",
            "mobilenetv3_small_050",
            "tf_efficientnet_b0",
            "efficientnet_lite0",
            "semnasnet_050",
            "dla34",
            "dpn68",
            "ese_vovnet19b_dw",
            "hardcorenas_a",
            "lcnet_050",
            "darknet53",
            "nf_resnet50",
        )
    },
    "timm:inception_v4": 112,
}
_SIZED = {"songnet", "silnet"}  # built for one input size


def densenet(n: int) -> nn.Module:
    return torchvision.models.DenseNet(growth_rate=8, block_config=(2, 3), num_init_features=16, num_classes=n)


def resnet_v2(n: int) -> nn.Module:
    return build("timm:resnetv2_50", n, {"layers": [2, 2, 1, 1], "channels": (32, 48, 64, 96), "stem_chs": 16})


def repvgg(n: int) -> nn.Module:
    blocks = tuple(ByoBlockCfg(type="rep", d=2, c=c, s=2, gs=0) for c in (16, 24, 32))
    return ByobNet(ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=16), num_classes=n)


def xception(n: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 24, 2, 2, start_with_relu=False),
        Block(24, 24, 3, 1),
        Block(24, 24, 3, 1),
        Block(24, 32, 2, 2, grow_first=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, n),
    )


def vgg_bn(n: int) -> nn.Module:
    features = torchvision.models.vgg.make_layers([16, "M", 24, 24, "M", 32, "M"], batch_norm=True)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n))


def mobilenet_v2(n: int) -> nn.Module:
    settings = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 64, 1, 1]]
    return build("torchvision:mobilenet_v2", n, {"width_mult": 0.5, "inverted_residual_setting": settings})


def mobilenet_v3(n: int) -> nn.Module:
    shapes = [(8, 3, 8, 8, True, "RE", 2), (8, 3, 32, 12, False, "RE", 2), (12, 5, 48, 16, True, "HS", 1)]
    settings = [InvertedResidualConfig(*shape, 1, 1.0) for shape in shapes]
    return MobileNetV3(settings, last_channel=64, num_classes=n)


def efficientnet(n: int) -> nn.Module:
    settings = [MBConvConfig(1, 3, 1, 16, 8, 1, 1.0, 1.0), MBConvConfig(4, 3, 2, 8, 16, 2, 1.0, 1.0)]
    return EfficientNet(settings, dropout=0.0, last_channel=64, num_classes=n)


FAMILIES: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": lambda n: build("resnet18", n, {"width": 0.25}),
    "densenet": densenet,
    "resnet_v2": resnet_v2,
    "repvgg": repvgg,
    "xception": xception,
    "vgg_bn": vgg_bn,
    "squeezenet": lambda n: build("torchvision:squeezenet1_1", n),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "efficientnet": efficientnet,
}


def network(name: str, n_outputs: int) -> nn.Module:
    """A network of `NETWORKS` with random weights."""
    return build(name, n_outputs, {"size": NETWORKS[name]} if name in _SIZED else {})


def images(n: int, size: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Smooth random pictures [n, 3, size, size] in [-1, 1] with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=generator, dtype=dtype)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return 1.6 * smooth + 0.4 * torch.rand(n, 3, size, size, generator=generator, dtype=dtype) - 1


def calibrated(model: nn.Module, size: int, seed: int, pictures: int) -> nn.Module:
    """Random BatchNorms whose statistics fit the activations up to a fifth of their spread; logits of spread 3.

    Networks without BatchNorm get every layer scaled to unit spread, and random biases. `seed` is that of the
    parameters, `pictures` that of the images that give the statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    x = images(4, size, pictures, next(model.parameters()).dtype)
    model.eval()
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.normal_(0, 0.3, generator=generator)
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    hooks = [] if norms else [layer.register_forward_hook(_unit_spread(generator)) for layer in layers]
    with torch.no_grad():
        model(x)
        for hook in hooks:
            hook.remove()
        for norm in norms:
            noise = torch.randn(norm.running_mean.shape, generator=generator)
            norm.running_mean += 0.2 * norm.running_var.sqrt() * noise
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.5, generator=generator)
        model.eval()
        head = layers[-1]
        if (model(x) == 0).any():  # SqueezeNet's logits come behind a ReLU, and some are dead
            head.weight.data.abs_()
        head.weight.data *= 3 / float(model(x).std())
        if head.bias is not None:
            head.bias.data.normal_(0, 0.3, generator=generator)
    return model


def _unit_spread(generator: torch.Generator) -> Callable[..., torch.Tensor]:
    def scale(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        module.weight.data /= output.std()
        if module.bias is not None:
            module.bias.data.normal_(0, 0.3, generator=generator)
        return module.forward(*inputs)

    return scale

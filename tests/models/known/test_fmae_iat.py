"""FMAE-IAT: a vision transformer of timm 0.3.2, whose names and shapes are written out here."""

import pytest
import torch

from fer_batch.models import checkpoint
from fer_batch.models.backbone import build
from fer_batch.models.known import known_network

WIDTH, DEPTH = 1024, 24


def published(n_outputs):
    """ViT-L/16 with a mean over its patches: no `norm`, but `fc_norm`; and the head of identities."""
    block = {
        **{f"{norm}.{kind}": (WIDTH,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")},
        "attn.qkv.weight": (3 * WIDTH, WIDTH),
        "attn.qkv.bias": (3 * WIDTH,),
        "attn.proj.weight": (WIDTH, WIDTH),
        "attn.proj.bias": (WIDTH,),
        "mlp.fc1.weight": (4 * WIDTH, WIDTH),
        "mlp.fc1.bias": (4 * WIDTH,),
        "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
        "mlp.fc2.bias": (WIDTH,),
    }
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 197, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
        **{f"blocks.{number}.{name}": shape for number in range(DEPTH) for name, shape in block.items()},
        "fc_norm.weight": (WIDTH,),
        "fc_norm.bias": (WIDTH,),
        "head.weight": (n_outputs, WIDTH),
        "head.bias": (n_outputs,),
        "ID_head.weight": (41, WIDTH),
        "ID_head.bias": (41,),
    }
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(("name", "n_outputs"), [("fmae_iat_bp4d", 12), ("fmae_iat_disfa", 8)])
def test_every_tensor_but_those_of_identity_has_a_place(name, n_outputs):
    record = known_network(name)
    with torch.device("meta"):
        model = build(record.build.architecture, len(record.targets), dict(record.build.options))
    checkpoint.load_state(model, published(n_outputs), record.build.key_map)
    assert sum(p.numel() for p in model.parameters()) == record.build.n_parameters

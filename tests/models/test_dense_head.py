"""Dense layers in the place of a backbone's last one."""

import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.models.backbone import build, head_prefixes
from fer_batch.types import InputError


def test_layers_stand_in_their_order_behind_the_backbone():
    options = {"backbone": "resnet18", "layers": [16, "relu", "batch_norm", "dropout"]}
    model = build("dense_head", 3, options).eval()
    kinds = [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout, nn.Linear]
    assert [type(module) for module in model.classifier] == kinds
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert head_prefixes(model) == ("classifier.4.",)
    assert "backbone.fc.weight" not in model.state_dict()


def test_without_layers_it_is_the_backbone_with_a_new_last_one():
    torch.manual_seed(0)
    plain = build("resnet18", 3).eval()
    model = build("dense_head", 3).eval()
    state = {f"backbone.{name}": tensor for name, tensor in plain.state_dict().items() if not name.startswith("fc.")}
    model.load_state_dict(state | {"classifier.0.weight": plain.fc.weight, "classifier.0.bias": plain.fc.bias})
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), plain(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["rleu"]}, "expected a width or the name of a layer, got 'rleu'; did you mean 'relu'"),
        ({"layers": [0]}, "got 0; known: batch_norm, dropout, relu"),
        ({"backbone": "torchvision:squeezenet1_0"}, "its last layer must be a dense one, got Conv2d"),
        ({"backbone": "resnt18"}, "did you mean 'resnet18'"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message):
        build("dense_head", 2, options)


def test_relevance_is_propagated_through_it():
    """Through hidden layer and BatchNorm; `z` is gradient times input of the network itself."""
    torch.manual_seed(0)
    options = {"backbone": "resnet18", "layers": [8, "relu", "batch_norm", "dropout"]}
    model = build("dense_head", 3, options).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    pairs = torch.tensor([[0, 1]])
    found = explain.method("z")(model, images, pairs)
    expected = explain.method("gradient_times_input")(model, images, pairs)
    torch.testing.assert_close(torch.as_tensor(found.values), torch.as_tensor(expected.values), rtol=1e-7, atol=1e-9)

"""Explanations that are aligned: against captum, plain formulas and differences."""

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import nn

from fer_batch.models.features import features
from fer_batch.training.alignment import alignment, resized_maps
from fer_batch.training.auxiliary import Seen
from fer_batch.training.reasons import (
    attributions,
    auxiliary_of,
    check_shapes,
    class_gradients,
    evidence,
    grad_cams,
    privileged_loss,
    right_reasons_loss,
    unit_gradients,
)
from fer_batch.training.settings import AlignSettings

NAN = float("nan")
HEADS = {"softmax": "expression", "multilabel": "units"}


class Net(nn.Module):
    """Two convolutions, in place between them and the head."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, stride=2), nn.Linear(5, 3)
        self.double()

    def forward(self, x):
        x = nn.functional.softplus(self.second(torch.tanh_(self.first(x))))
        return self.fc(nn.functional.relu_(x).mean((2, 3)))


def seen(net, labels, layers=("first", "second"), n=3):
    x = torch.rand(n, 3, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    logits, found = features(net, x, layers)
    return Seen(x, logits, labels, found)


CLASSES = torch.eye(3, dtype=torch.float64)
UNITS = torch.tensor([[1.0, 0, 1], [0, NAN, 1], [0, 0, 0]], dtype=torch.float64)


def test_g08_grad_cam_before_its_relu():
    maps = torch.tensor([[[[1.0, 0], [2, 1]], [[0, 2], [1, 1]]]], requires_grad=True)
    logit = maps.mean((2, 3)) @ torch.tensor([[1.0], [-0.5]])
    (cam,) = grad_cams(Seen(maps, logit, torch.ones(1, 1), {"last": maps})).values()
    torch.testing.assert_close(cam[0, 0], torch.tensor([[0.25, -0.25], [0.375, 0.125]]))


def test_maps_of_the_true_class_are_those_of_captum_and_of_units_their_sums():
    net = Net()
    step = seen(net, CLASSES)
    for name, layer in (("first", net.first), ("second", net.second)):
        arguments = (step.images, CLASSES.argmax(1))
        torch.testing.assert_close(grad_cams(step)[name], LayerGradCam(net, layer).attribute(*arguments))
        own = LayerGradientXActivation(net, layer).attribute(*arguments).sum(1, keepdim=True)
        torch.testing.assert_close(attributions(step)[name], own)
    whole = grad_cams(seen(net, UNITS))["second"]
    parts = [grad_cams(seen(net, torch.eye(3, dtype=torch.float64)[[k] * 3]))["second"] for k in range(3)]
    torch.testing.assert_close(whole[0], (parts[0] + parts[2])[0])
    torch.testing.assert_close(whole[1], parts[2][1])
    assert (whole[2] == 0).all() and evidence(step.logits, UNITS)[2] == 0


def test_input_gradients_are_those_of_the_formula():
    net = Net()
    step = seen(net, CLASSES)
    p = step.logits.softmax(1).detach()
    each = [torch.autograd.grad(step.logits[:, k].sum(), step.images, retain_graph=True)[0] for k in range(3)]
    expected = sum((1 - 3 * p[:, k])[:, None, None, None] * each[k] for k in range(3))
    torch.testing.assert_close(class_gradients(step)["images"], expected)
    step = seen(net, UNITS)
    p = step.logits.sigmoid().detach()
    expected = sum(((UNITS[:, k] == 1) * (1 - 2 * p[:, k]))[:, None, None, None] * each[k] for k in range(3))
    torch.testing.assert_close(unit_gradients(step)["images"], expected)


def test_only_gradients_outside_the_map_are_punished():
    gradients = torch.randn(3, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps = torch.rand(3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    maps[1] = float("inf")
    small = resized_maps(maps, (4, 4))
    plain = sum(
        float(((1 - small[n, i, j]) * gradients[n, c, i, j]) ** 2)
        for n in (0, 2)
        for c in range(3)
        for i in range(4)
        for j in range(4)
    )
    assert right_reasons_loss({"images": gradients}, maps).item() == pytest.approx(plain / 2)
    assert right_reasons_loss({"images": gradients}, torch.ones(3, 8, 8)).item() == 0
    none = gradients.clone().requires_grad_()
    loss = right_reasons_loss({"images": none}, torch.full((3, 8, 8), NAN))
    loss.backward()
    assert loss.item() == 0 and (none.grad == 0).all()


def test_the_privileged_loss_is_one_less_the_correlation():
    found = torch.rand(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps = torch.rand(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    both = [torch.corrcoef(torch.stack([found[n].ravel(), maps[n].ravel()]))[0, 1] for n in range(2)]
    expected = 1 - torch.stack(both).mean()
    torch.testing.assert_close(privileged_loss({"a": found}, maps), expected)
    torch.testing.assert_close(privileged_loss({"a": found, "b": 3 * found + 1}, maps), 2 * expected)
    torch.testing.assert_close(privileged_loss({"a": found, "b": 3 * found + 1}, maps, "mean"), expected)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("to", ["attention", "attribution", "gradient", "grad_cam"])
def test_what_reaches_the_weights_is_the_gradient_of_differences(to, head):
    layers = () if to == "gradient" else ("first", "second")
    auxiliary = auxiliary_of(AlignSettings(to=to, maps=HEADS[head], layers=layers), head)
    labels = CLASSES if head == "softmax" else UNITS
    maps = torch.rand(3, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    maps[1] = float("inf")
    net = Net(1)

    def value():
        return auxiliary.loss(auxiliary.see(seen(net, labels, layers)), maps)

    loss = value()
    assert loss.item() > 0 and auxiliary.of_images == (to == "gradient")
    loss.backward()
    weight, step = net.first.weight, 1e-6
    for place in ((0, 0, 1, 1), (2, 1, 0, 2), (3, 2, 2, 0)):
        found = []
        for change in (step, -2 * step):
            with torch.no_grad():
                weight[place] += change
            found.append(value().item())
        with torch.no_grad():
            weight[place] += step
        assert weight.grad[place].item() == pytest.approx((found[0] - found[1]) / (2 * step), rel=1e-4, abs=1e-8)


def test_a_map_that_is_looked_at_costs_nothing():
    maps = torch.rand(2, 4, 4, dtype=torch.float64)
    assert alignment(3 * maps, maps).mean().item() == pytest.approx(1)
    auxiliary = auxiliary_of(AlignSettings(to="grad_cam", layers=("a",)), "softmax")
    assert auxiliary.loss({"a": 3 * maps[:, None]}, maps).item() == pytest.approx(0, abs=1e-6)


def test_layers_without_a_place_are_refused():
    with pytest.raises(ValueError, match=r"layer 'fc' gives \(1, 5\); what is aligned has channels, height and width"):
        check_shapes({"fc": torch.zeros(1, 5)}, ["fc"])
    with pytest.raises(ValueError, match=r"one place agrees with every map; name an earlier layer"):
        check_shapes({"avgpool": torch.zeros(1, 5, 1, 1)}, ["avgpool"])

"""Modules of canonical networks: their values, and the gradient of what lets relevance pass."""

from __future__ import annotations

import torch

from fer_batch.explain.modules import Add, Affine, Reduce, Scale

X = torch.tensor([[1.0, -2.0], [3.0, 4.0]])


def test_sums_broadcast():
    torch.testing.assert_close(Add()(X, X[:, :1]), X + X[:, :1])


def test_reductions_and_affine_layers_compute_what_they_say():
    assert Reduce(torch.mean, (1,), False)(X).tolist() == [-0.5, 3.5]
    assert Reduce(torch.sum, (1,), True)(X).tolist() == [[-1.0], [7.0]]
    weight, bias = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    assert Affine(weight, bias)(X).tolist() == [[3.0, -6.0], [7.0, 12.0]]
    assert Affine(weight, None)(X).tolist() == [[2.0, -6.0], [6.0, 12.0]]


def test_the_gradient_of_a_scaled_signal_is_the_identity_and_the_gate_has_none():
    signal, gate = X.clone().requires_grad_(), torch.full((2, 2), 0.5, requires_grad=True)
    product = Scale(torch.mul, 1)(gate, signal)
    torch.testing.assert_close(product, X * 0.5)
    gradients = torch.autograd.grad(product.sum(), [signal, gate], allow_unused=True)
    assert gradients[0].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert gradients[1] is None

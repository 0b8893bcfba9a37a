"""The dense blocks' concatenation against torch's: values and derivatives, of any order."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from skood.nn import DenseNet
from skood.nn._concatenation import concatenated

PARTS = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)


def parts(dtype=torch.float64, channels_last=False):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return tuple(x.to(dtype, memory_format=layout).requires_grad_() for x in PARTS)


@pytest.mark.parametrize("channels_last", [False, True])
def test_values_and_layout_are_those_of_torch(channels_last):
    x, new = parts(channels_last=channels_last)
    out, expected = concatenated(x, new), torch.cat([x, new], 1)
    assert torch.equal(out, expected) and out.stride() == expected.stride()


@pytest.mark.parametrize("channels_last", [False, True])
def test_derivatives_are_right(channels_last):
    def smooth(x, new):
        return concatenated(x, new.square()).square()

    assert gradcheck(smooth, parts(channels_last=channels_last), check_forward_ad=True)
    assert gradgradcheck(smooth, parts(channels_last=channels_last))


def test_part_without_gradient_gets_none():
    (x, new), weight = parts(), torch.rand(2, 8, 4, 4, dtype=torch.float64)
    (concatenated(x.detach(), new) * weight).sum().backward()
    assert torch.equal(new.grad, weight[:, 3:])


def test_second_derivative_keeps_channels_last():
    x, new = parts(torch.float32, channels_last=True)
    upstream = torch.cat([x, new], 1).detach().square().requires_grad_()
    slopes = torch.autograd.grad(concatenated(x, new), (x, new), upstream, create_graph=True)
    back, = torch.autograd.grad(slopes, upstream, (x.detach(), new.detach()))
    assert back.is_contiguous(memory_format=torch.channels_last)  # torch's own: is_contiguous()


def test_vmap_knows_it():
    x, new = (p.detach() for p in parts())
    mapped = torch.vmap(lambda a, b: concatenated(a[None], b[None])[0])(x, new)
    assert torch.equal(mapped, torch.cat([x, new], 1))


def test_gradients_of_gradients_of_a_densenet_are_those_with_torch(monkeypatch):
    def weights_gradient():
        torch.manual_seed(0)
        net = DenseNet((3, 8, 8), 4, depth=16).double()
        x = torch.rand(6, 3, 8, 8, dtype=torch.float64, requires_grad=True)
        slope, = torch.autograd.grad(net(x).logsumexp(1).sum(), x, create_graph=True)
        slope.flatten(1).norm(dim=1).mean().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    own = weights_gradient()
    monkeypatch.setattr("skood.nn.densenet.concatenated", lambda x, new: torch.cat([x, new], 1))
    torch.testing.assert_close(own, weights_gradient(), rtol=1e-12, atol=1e-14)

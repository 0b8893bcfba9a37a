"""The default net for tables."""

from math import prod
from numbers import Integral

from torch import nn

from .._numbers import check_integer


class MLP(nn.Module):
    """Multi-layer perceptron: Linear and ReLU layers, then a Linear head.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample, ``(d,)`` or any other; samples are flattened.
    n_outputs : int
        Number of logits.
    hidden : sequence of int, default=(64, 64)
        Width of each hidden layer; ``()`` gives a linear model.
    dropout : float in [0, 1), default=0.0
        Probability of dropping a hidden unit in training.

    See Also
    --------
    SmallResNet : The default net for images.

    Notes
    -----
    Inputs are not normalised: scale tables first, for instance with
    :class:`sklearn.preprocessing.StandardScaler`.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import MLP
    >>> net = MLP((20,), 3, hidden=(32,))
    >>> net(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(self, input_shape, n_outputs, *, hidden=(64, 64), dropout=0.0):
        super().__init__()
        if isinstance(hidden, Integral):
            raise TypeError(f"hidden must be a sequence of integers, got {hidden}: ({hidden},)?")
        sizes = [check_integer("each entry of input_shape", size, 1) for size in input_shape]
        widths = [prod(sizes)]
        widths += [check_integer("each entry of hidden", width, 1) for width in hidden]
        layers = []
        for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], check_integer("n_outputs", n_outputs, 1))

    def forward(self, x):
        """Return logits of shape (n, n_outputs) for `x` of shape (n, *input_shape)."""
        return self.head(self.hidden(x.flatten(1)))

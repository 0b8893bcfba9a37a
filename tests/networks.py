"""Networks that tests read."""

from copy import deepcopy

from torch import nn


class Identity(nn.Module):
    """A network whose features are its inputs."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.head(x)


class Counting(nn.Module):
    n_rows = 0

    def __init__(self, net):
        super().__init__()
        self.net = deepcopy(net)

    def forward(self, x):
        Counting.n_rows += len(x)
        return self.net(x)

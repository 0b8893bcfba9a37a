"""WOODS's training state: a threshold that is learned, two constraints and their multipliers."""

from dataclasses import asdict, dataclass

import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from .. import losses


@dataclass
class Constraint:
    """A constraint ``value <= 0`` on the training, by an augmented Lagrangian.

    Attributes
    ----------
    multiplier : float
        What a violation costs, at least 0.
    penalty : float
        What its square costs, above 0.
    """

    multiplier: float = 0.0
    penalty: float = 1.0

    def term(self, value):
        """Return what the constraint adds to the loss."""
        return losses.augmented_lagrangian(value, self.multiplier, self.penalty)

    def update(self, value, lr, growth, tolerance):
        """Follow the multiplier's gradient, and weigh more what stays violated.

        The multiplier of a slack constraint falls, but not below 0: with ``lr`` above the penalty
        the published rule would take it there.
        """
        step = lr * max(value, -self.multiplier / self.penalty)
        self.multiplier = max(0.0, self.multiplier + step)
        if value > tolerance:
            self.penalty *= growth


class ConstrainedLoss(nn.Module):
    """Accept few wild rows, under two constraints on X.

    ``g(x) = slope * logsumexp(logits) + shift`` is above 0 for what is refused; both its numbers
    are trained with the network.

    Parameters
    ----------
    slope, shift : float
        Where g starts.
    alpha : float
        Bound of the share of X that is refused, softly counted: the mean of ``sigmoid(g(x_in))``.
    most_ce : float
        Bound of the mean cross-entropy on X.
    beta : float
        Weight of the wild rows accepted, softly counted: the mean of ``sigmoid(-g(x_out))``.

    Attributes
    ----------
    gap : float
        By how much more of the rows held out are refused than of those in training: in training
        the bound is tighter by as much.
    """

    def __init__(self, slope, shift, alpha, most_ce, beta):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.shift = nn.Parameter(torch.tensor(shift))
        self.alpha, self.most_ce, self.beta, self.gap = alpha, most_ce, beta, 0.0
        self.constraints = {"false_alarms": Constraint(), "ce": Constraint()}

    def forward(self, logits_in, y_in, logits_out):
        """Return the augmented Lagrangian of a batch."""
        values = {
            "false_alarms": self._refused(logits_in) - self.alpha + self.gap,
            "ce": F.cross_entropy(logits_in, y_in) - self.most_ce,
        }
        terms = [self.constraints[name].term(value) for name, value in values.items()]
        return self.beta * torch.sigmoid(-self._g(logits_out)).mean() + sum(terms)

    @torch.no_grad()
    def measure(self, logits_in, y_in, logits_held):
        """Return by how much each constraint is violated; below 0, how slack it is.

        The false alarms are those among the rows held out, if any, and set the gap.
        """
        refused = self._refused(logits_in).item()
        held = self._refused(logits_held).item() if len(logits_held) else refused
        self.gap = max(0.0, held - refused)
        ce = F.cross_entropy(logits_in, y_in).item()
        return {"false_alarms": held - self.alpha, "ce": ce - self.most_ce}

    def get_extra_state(self):
        """Return what is learned beside the weights, for whoever keeps the state of a module."""
        constraints = {name: asdict(each) for name, each in self.constraints.items()}
        return {"gap": self.gap, "most_ce": self.most_ce, "constraints": constraints}

    def set_extra_state(self, state):
        """Put it back."""
        self.gap, self.most_ce = state["gap"], state["most_ce"]
        self.constraints = {name: Constraint(**of) for name, of in state["constraints"].items()}

    def _refused(self, logits):
        return torch.sigmoid(self._g(logits)).mean()

    def _g(self, logits):
        return self.slope * logits.logsumexp(1) + self.shift


class Multipliers(Callback):
    """After each epoch, measures the constraints and updates their multipliers.

    Parameters
    ----------
    loss : ConstrainedLoss
    measured : callable
        ``measured()`` returns the arguments of ``loss.measure``.
    **rule
        ``lr``, ``growth`` and ``tolerance`` of ``Constraint.update``.
    """

    def __init__(self, loss, measured, **rule):
        self.loss, self.measured, self.rule = loss, measured, rule

    def on_epoch_end(self, net, **kwargs):
        """Write into the history g, each constraint, and what it costs in the next epoch."""
        for name, value in self.loss.measure(*self.measured()).items():
            constraint = self.loss.constraints[name]
            constraint.update(value, **self.rule)
            net.history.record(f"{name}_violation", value)
            net.history.record(f"{name}_multiplier", constraint.multiplier)
            net.history.record(f"{name}_penalty", constraint.penalty)
        net.history.record("slope", self.loss.slope.item())
        net.history.record("shift", self.loss.shift.item())

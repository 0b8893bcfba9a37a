"""What a user's optimizer may be: said by the parameters' names, before anything is trained."""

from contextlib import contextmanager

# float32 holds 3e38, and Adam's first step is ten times as long: torch raises on what is beyond.
_LARGEST_LR = 1e30


@contextmanager
def telling_what_was_refused(make, lr):
    """Within the block, which builds an optimizer, name the parameters that it was built with."""
    try:
        yield
    except (TypeError, ValueError) as error:  # how torch's optimizers refuse, and calls that fail
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"optimizer={make!r} cannot be made with lr={lr} and the optimizer__* given: {error}. "
            "It must be 'sgd', 'adamw', or a class or function of torch's form, optimizer(weights, "
            "lr=..., **options)."
        ) from error


def check_optimizer(optimizer, make):
    """Refuse what takes no steps, or steps that no float holds."""
    if not hasattr(optimizer, "step"):
        raise TypeError(
            f"optimizer={make!r} must make an optimizer of torch's form, got "
            f"{type(optimizer).__name__}."
        )
    rates = [group.get("lr", 0) for group in optimizer.param_groups]
    if max(rates) > _LARGEST_LR:
        raise ValueError(f"lr must be at most {_LARGEST_LR:g}, got {max(rates):g}: lower it.")

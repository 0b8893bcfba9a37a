"""How any fit and any scoring pass runs: inputs, batches, the training loop, the forward pass."""

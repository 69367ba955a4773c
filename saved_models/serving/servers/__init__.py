"""An export in the model servers of others: Triton and KServe."""

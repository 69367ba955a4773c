"""ResNet-50 v1.5 on one GPU: the library on JAX beside PyTorch and plain JAX."""

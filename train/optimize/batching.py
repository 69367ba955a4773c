"""How a global batch goes through the network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Batching:
    """The size of a batch, and whether it is divided.

    Attributes:
        size: examples of a global batch.
        micro_batches: parts of a replica's share that go through the network one after another.
        sync_bn: whether normalizations wait for all other replicas. XLA cannot compile that, and
            such a batch cannot be divided.
    """

    size: int
    micro_batches: int = 1
    sync_bn: bool = False

"""Learning without a clock: it counts bits and FLOPs, not seconds. torch."""

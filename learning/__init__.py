"""Learning without a clock: it counts bits and FLOPs, not seconds. torch."""

import torch

# A large tensor that is freed once, untouched, makes the C library (glibc) keep what is freed after it, where it would hand it
# back to the system and ask for it anew, page by page: rounds of small networks take a tenth less time.
torch.empty(1 << 22)

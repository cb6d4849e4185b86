r"""What client sides that are averaged only now and then do to the gradient.

Between two averagings device k goes on from its own client side. The descent lemma follows the *virtual* mean

.. math:: \bar w_i = \bigl(\textstyle\sum_k \omega_k w_{k,i},\; v_i\bigr),

with v the server's side, which all share: it moves by the mean of the gradients that the devices take at their own places, which
is not the gradient at its own: :math:`b_i = \nabla F(\bar w_i) - \sum_k \omega_k \nabla F_k(w_{k,i}, v_i)` is missing. Over an
interval of I rounds the relative squared bias is, as for pruning, a ratio of sums, here over the rounds i < I that begin at the
checkpoints of a pilot run; and so is the misalignment, the share of the descent that is missing to first order:

.. math:: \mathrm{drift}(I) = \frac{\sum_{i<I} \|b_i\|^2}{\sum_{i<I} \|\nabla F(\bar w_i)\|^2},\qquad
          \mathrm{misalignment}(I) = \frac{\sum_{i<I} \langle \nabla F(\bar w_i), b_i\rangle}
          {\sum_{i<I} \|\nabla F(\bar w_i)\|^2}.                                                              \tag{1}

The first counts what client sides do across the gradient, to and fro, as much as what they do against it; the second only this.
Both are zero for I = 1, for one device, and for devices that all see the same data. Steps are of gradient descent on all of the
probes: that mini-batches drive client sides apart, too, is not in them.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from learning import params
from learning.params import Params
from learning.probe import Probe, add, inner, moved, product


def drift(probe: Probe, cut: int, rounds: int, lr: float, parts: int = 1) -> NDArray:
    """|b|^2, <grad F, b> and |grad F|^2 of (1) in each of the rounds that begin at the probe's model (I, 3), all cut at ``cut``.

    ``lr`` is the learning rate of both sides. With several ``parts`` of the samples, products are of different ones.
    """
    own, server = [params.front(probe.weights, cut)] * len(probe.shards), params.back(probe.weights, cut)
    rows, some = [], probe.parts(parts)
    for number in range(rounds):
        middle = {**params.weighted_sum(own, probe.share), **server}
        means: list[Params] = [{} for _ in some]
        for k, share in enumerate(probe.share):
            each = [part.gradient({**own[k], **server}, part.shards[k])[1] for part in some]
            for mean, grads in zip(means, each, strict=True):
                add(mean, grads, share)
            own[k] = moved(own[k], params.weighted_sum(each, [1 / parts] * parts), lr)
        server = moved(server, params.weighted_sum(means, [1 / parts] * parts), lr)
        slopes = [part.mean(middle) for part in some] if number else means                 # at first all are in one place
        off = [params.combine(torch.sub, *pair) for pair in zip(slopes, means, strict=True)]
        rows.append((product(off), inner(slopes, off), product(slopes)))
    return np.array(rows)

"""A decision from the last round's on has the same answer as tensors; beside ``test_torch``, which has all others."""

from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from optim.time_to_accuracy import time_to_accuracy

torch = pytest.importorskip("torch")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_GPU)])
@pytest.mark.parametrize(("devices", "options"), [(6, 1), (6, 3), (40, 16)])
@pytest.mark.parametrize("rows", [(), (3,)])
def test_a_decision_from_the_last_rounds_on_is_the_same(rng, device, devices, options, rows):
    problem = instance(rng, devices, options, weakest_db=-5.0, spread_db=30.0)
    rounds = [replace(problem, gain=problem.gain * rng.uniform(0.5, 2.0, (*rows, devices))) for _ in range(2)]

    def tensor(values):
        return torch.as_tensor(np.ascontiguousarray(values), device=device).reshape(np.shape(values))

    expected = found = None
    for now in rounds:
        expected, found = time_to_accuracy(now, 0.5, start=expected), time_to_accuracy(now.to(tensor), 0.5, start=found)
    assert isinstance(found.deadline, torch.Tensor)
    for name in ("deadline", "objective", "lower_bound", "ratio", "bandwidth"):
        assert_allclose(getattr(found, name).cpu().numpy(), getattr(expected, name), rtol=1e-8, atol=1e-12)

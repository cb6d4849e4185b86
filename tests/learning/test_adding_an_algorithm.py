"""The worked example of CONTRIBUTING does what is said of it, and keeps to what every algorithm keeps to."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import test_conformance
from tiny_algorithms import SHAPE, Subject, assert_same, network, plans, run, shards

from learning.algorithms.fed_avg import FedAvg
from learning.optimiser import sgd
from learning.profile import profile
from learning.training import Training

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"
CHECKS = [check for name, check in vars(test_conformance).items()
          if name.startswith("test_") and check.__code__.co_varnames[:check.__code__.co_argcount] == ("subject", "rng")]


def blocks():
    """The example and the line of the table, as they are printed."""
    section = GUIDE.read_text().partition("## Adding an algorithm")[2]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example as a module of its own."""
    path = tmp_path_factory.mktemp("example") / "fed_avg_m.py"
    path.write_text(blocks()[0])
    spec = importlib.util.spec_from_file_location("fed_avg_m", path)
    sys.modules["fed_avg_m"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fed_avg_m"]


def test_it_is_one_file_of_sixty_lines_and_one_line():
    file, line = blocks()
    assert file.count("\n") <= 60
    assert ast.unparse(ast.parse("{" + line + "}")) == "{'fedavg-m': FedAvgM}"
    assert line.count("\n") == 1
    assert len(CHECKS) > 10


@pytest.mark.parametrize("net", test_conformance.NETWORKS)
@pytest.mark.parametrize("check", CHECKS)
def test_it_conforms(example, rng, check, net):
    check(Subject(example.FedAvgM, net), rng)


@pytest.mark.parametrize("kind", test_conformance.NETWORKS)
def test_without_momentum_it_is_federated_averaging(example, rng, kind):
    net, data, training = network(kind), shards(rng, 9, 30, 4), Training(batch=8, steps=2)
    both = example.FedAvgM(net, training, 0.0), FedAvg(net, training)
    found, expected = (run(each, data, plans(3, 3, 3), rounds=3) for each in both)
    for one, other in zip(found[0], expected[0], strict=True):
        assert_same(one.model, other.model, 1e-10)
    assert_same(found[1], expected[1], 1e-10)


def test_one_device_and_one_step_a_round_is_descent_with_momentum(example, rng):
    """w moves by v <- b v - lr g, which is torch's momentum at a constant learning rate."""
    net, data = network(), shards(rng, 9)
    once, heavy = Training(steps=1, client=sgd(0.1)), Training(steps=1, client=sgd(0.1, momentum=0.9))
    both = example.FedAvgM(net, once, 0.9), FedAvg(net, heavy)
    found, expected = (run(each, data, plans(3), rounds=4)[0][-1] for each in both)
    assert_same(found.model, expected.model, 1e-10)


def test_it_counts_the_bits_that_it_says(example, rng):
    algorithm, data = example.FedAvgM(network("batch norm")), shards(rng, 9)
    _, (report,) = run(algorithm, data, plans(3))
    work = algorithm.work(profile(algorithm.net, SHAPE, 3), 3, 9)
    assert (work.uplink_bits.at(0), work.downlink_bits.at(0)) == (report.traffic[0].uplink_bits, report.traffic[0].downlink_bits)


def test_its_line_puts_it_in_the_table_of_names(example, monkeypatch):
    from wirelessfl import build
    from wirelessfl.config import load
    monkeypatch.setitem(build.ALGORITHMS, "fedavg-m", example.FedAvgM)
    scenario = load(overrides=["training.algorithm=fedavg-m", "cell.devices=2"])
    assert isinstance(build.algorithm(scenario, network(), build.check(scenario)), example.FedAvgM)

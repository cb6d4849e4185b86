"""An arbitrary module as a chain of blocks: its graph is traced by torch.fx and cut behind named nodes.

A cut is possible where one value alone crosses it. Parameters do not count as crossing, since each is taken along by the
block that uses it. What the tracer cannot follow (control flow that depends on the data) cannot be cut; write such a part
as a layer of its own and list it in ``leaves``.
"""

import difflib
from collections.abc import Sequence
from typing import cast

import torch
from torch import fx, nn
from torch.nn import functional

from learning.models.blocks import as_blocks

DRAWS = (functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d, functional.alpha_dropout,
         functional.feature_alpha_dropout, torch.dropout)


def cut_at(module: nn.Module, nodes: Sequence[str], leaves: Sequence[type[nn.Module]] = ()) -> nn.Sequential:
    """A chain of ``len(nodes)`` + 1 blocks that computes what ``module`` does, with the weights that it has.

    Parameters
    ----------
    module : nn.Module
        Of one input and one output, both tensors; it is left as it was.
    nodes : sequence of str
        Where to cut, in the order of the computation: behind the submodule of this path ("layer2", "layer3.0.relu";
        behind its last use) or behind the node of this name in the traced graph ("add_1").
    leaves : sequence of types
        Modules that the tracer shall not look into, beside those of torch.nn.

    Returns
    -------
    nn.Sequential
        Of ``torch.fx.GraphModule``; parameters keep their paths, behind the number of the block ("0.layer1.0.conv.weight").
    """
    traced = _trace(module, tuple(leaves))
    steps = [node for node in traced.graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    ends = [*(_find(steps, name) for name in nodes), _result(traced)]
    places = [steps.index(end) if end in steps else -1 for end in ends]
    if any(here >= there for here, there in zip([-1, *places], places, strict=False)):
        raise ValueError(f"nodes must stand in the order of the computation and leave every block a step, got {list(nodes)}")
    block_of = {node: sum(place > end for end in places[:-1]) for place, node in enumerate(steps)}
    entries = [_entry(traced), *ends[:-1]]
    for number, end in enumerate(ends[:-1]):
        _check_crossing(block_of, entries[0], number, end)
    return as_blocks(nn.Sequential(*(_block(traced, [node for node in steps if block_of[node] == number], entry, end)
                                     for number, (entry, end) in enumerate(zip(entries, ends, strict=True)))))


def _trace(module: nn.Module, leaves: tuple[type[nn.Module], ...]) -> fx.GraphModule:
    """The module's graph, the same in training and in evaluation."""

    class Tracer(fx.Tracer):
        """Looks into all modules but torch's own and the leaves."""

        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)

    training, graphs = {m: m.training for m in module.modules()}, []
    try:
        for mode in (True, False):
            module.train(mode)
            graphs.append(Tracer().trace(module))
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(f"module: torch.fx cannot trace {type(module).__name__} ({error}); name the part that depends on its "
                         "data in leaves") from error
    finally:
        for m, was in training.items():
            m.training = was
    if str(graphs[0]) != str(graphs[1]):
        raise ValueError(f"module: {type(module).__name__} takes another way in training than in evaluation, which a graph "
                         "cannot; use layers of torch.nn for what differs")
    for node in graphs[0].nodes:
        if node.target in DRAWS or node.kwargs.get("dropout_p"):
            raise ValueError(f"node {node.name}: the network must have no dropout, whose draws no seed of a run governs; "
                             "take it out")
    return fx.GraphModule(module, graphs[0])


def _entry(traced: fx.GraphModule) -> fx.Node:
    """The only input that is used."""
    used = [node for node in traced.graph.nodes if node.op == "placeholder" and node.users]
    if len(used) != 1:
        raise ValueError(f"module must have one input, got {[node.name for node in used]}")
    return used[0]


def _result(traced: fx.GraphModule) -> fx.Node:
    """The only output."""
    found = next(node for node in traced.graph.nodes if node.op == "output").args[0]
    if not isinstance(found, fx.Node):
        raise ValueError(f"module must return one tensor, got {found}")
    return found


def _paths(node: fx.Node) -> set[str]:
    """Submodules at work when the node was traced."""
    return {path for path, _ in node.meta.get("nn_module_stack", {}).values()}


def _find(steps: Sequence[fx.Node], name: str) -> fx.Node:
    """The last step of the submodule of this path, or the one of this name."""
    named = [node for node in steps if name in _paths(node)] or [node for node in steps if node.name == name]
    if named:
        return named[-1]
    known = sorted({node.name for node in steps}.union(*map(_paths, steps)))
    close = difflib.get_close_matches(name, known, 3, cutoff=0.3)
    raise ValueError(f"nodes: the module has no node or submodule {name!r}; the nearest are {close or known[:3]}")


def _check_crossing(block_of: dict[fx.Node, int], entry: fx.Node, number: int, end: fx.Node) -> None:
    """Nothing but ``end`` leaves the blocks up to ``number``."""
    made = [entry, *(node for node, block in block_of.items() if block <= number)]
    crossing = [node.name for node in made if any(block_of.get(user, number) > number for user in node.users)]
    if crossing != [end.name]:
        raise ValueError(f"nodes: one value must cross the cut behind {end.name!r}, got {crossing}; "
                         "cut where they have been joined")
    changed = [node.name for node in end.users if node.args[:1] == (end,) and _in_place(node)]
    if changed:
        raise ValueError(f"nodes: what crosses the cut behind {end.name!r} must not be changed in place, got {changed}")


def _in_place(node: fx.Node) -> bool:
    """Whether the step overwrites its first argument."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return (node.op != "call_module" and name.endswith("_")) or node.kwargs.get("inplace") is True


def _block(traced: fx.GraphModule, steps: Sequence[fx.Node], entry: fx.Node, end: fx.Node) -> fx.GraphModule:
    """The steps as a module of its own, from the value of ``entry`` to that of ``end``."""
    graph = fx.Graph()
    copies = {entry: graph.placeholder("x")}

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies and node.op == "get_attr":
            copies[node] = graph.get_attr(cast(str, node.target))
        return copies[node]

    for node in steps:
        copies[node] = graph.node_copy(node, copied)
    graph.output(copies[end])
    return fx.GraphModule(traced, graph)

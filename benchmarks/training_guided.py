"""Plain loops, as in ``benchmarks.training_plain``, of CSE-FSL and FSL-SAGE, whose devices ask an auxiliary network."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.training_plain import Batch, Data, Held, Make, Round, Weights, average, resumed


def in_turns(data: Data) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """Number of the step, device and batch: each device takes a step before any takes the next."""
    order = data.order()
    for step, batches in enumerate(zip(*(data.batches(k) for k in order), strict=True)):
        for k, (x, y) in zip(order, batches, strict=True):
            yield step, k, x, y


def serve(back: nn.Module, smashed: Tensor, y: Tensor, server: torch.optim.Optimizer) -> float:
    """A step of the server alone, on smashed data that came up."""
    server.zero_grad()
    loss = cross_entropy(back(smashed), y)
    loss.backward()
    server.step()
    return loss.item()


def cse_fsl(net: nn.Sequential, cut: int, auxiliary: nn.Module, data: Data, make: Make, every: int) -> Round:
    """Devices learn from auxiliary networks, which are averaged, too; one batch in ``every`` goes up."""
    net, guide, losses = copy.deepcopy(net), copy.deepcopy(auxiliary), []
    held: Held = {}
    front, back = net[:cut], net[cut:]
    server = make(back.parameters())

    def once() -> Weights:
        models = [nn.ModuleList([copy.deepcopy(front), copy.deepcopy(guide)]) for _ in data.sizes]
        optimisers = [resumed(make, model.parameters(), held.get(k)) for k, model in enumerate(models)]
        for step, k, x, y in in_turns(data):
            smashed = models[k][0](x)
            if step % every == 0:
                losses.append(serve(back, smashed.detach(), y, server))
            optimisers[k].zero_grad()
            loss = cross_entropy(models[k][1](smashed), y)
            loss.backward()
            optimisers[k].step()
            losses.append(loss.item())
        held.update({k: optimiser.state_dict() for k, optimiser in enumerate(optimisers)})
        for side, part in enumerate((front, guide)):
            part.load_state_dict(average([model[side].state_dict() for model in models], data.sizes))
        return net.state_dict()

    return once


def fsl_sage(net: nn.Sequential, cut: int, auxiliary: nn.Module, data: Data, make: Make, every: int, *, align_every: int,
             align_steps: int, keep: int) -> Round:
    """As CSE-FSL, but a device's auxiliary network is aligned with the server now and then, and else left alone."""
    net, losses, rounds = copy.deepcopy(net), [], iter(range(1 << 62))
    held: Held = {}
    kept: dict[int, Batch] = {}
    front, back = net[:cut], net[cut:]
    server, guides = make(back.parameters()), [copy.deepcopy(auxiliary) for _ in data.sizes]

    def once() -> Weights:
        due = next(rounds) % align_every == 0
        fronts = [copy.deepcopy(front) for _ in data.sizes]
        optimisers = [resumed(make, model.parameters(), held.get(k)) for k, model in enumerate(fronts)]
        for step, k, x, y in in_turns(data):
            smashed = fronts[k](x)
            if step % every == 0:
                losses.append(serve(back, smashed.detach(), y, server))
                before = kept.get(k, (smashed[:0].detach(), y[:0]))
                kept[k] = torch.cat([before[0], smashed.detach()])[-keep:], torch.cat([before[1], y])[-keep:]
                if step == 0 and due:
                    align(guides[k], back, kept[k], align_steps)
            optimisers[k].zero_grad()
            loss = cross_entropy(guides[k](smashed), y)
            loss.backward(inputs=list(fronts[k].parameters()))
            optimisers[k].step()
            losses.append(loss.item())
        held.update({k: optimiser.state_dict() for k, optimiser in enumerate(optimisers)})
        front.load_state_dict(average([model.state_dict() for model in fronts], data.sizes))
        return net.state_dict()

    return once


def align(guide: nn.Module, server: nn.Module, kept: Batch, steps: int) -> list[float]:
    """Fit an auxiliary network's gradients of the kept smashed data to the server's; the losses of the steps."""
    smashed, y, losses = kept[0].clone().requires_grad_(), kept[1], []
    frozen = copy.deepcopy(server)                                       # whose running statistics may move
    (truth,) = torch.autograd.grad(cross_entropy(frozen(smashed), y, reduction="sum"), smashed)
    optimiser = torch.optim.Adam(guide.parameters(), lr=1e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        (estimate,) = torch.autograd.grad(cross_entropy(guide(smashed), y, reduction="sum"), smashed, create_graph=True)
        loss = ((estimate - truth) ** 2).sum()
        loss.backward(inputs=list(guide.parameters()))
        optimiser.step()
        losses.append(loss.item())
    return losses

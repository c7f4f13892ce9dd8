"""RMSGD: SGD whose layers learn as fast as their rank grows (Hosseini et al. 2022, CVPR).

Once an epoch the stable rank s of each layer's low-rank part is measured, and the layer's learning
rate becomes ``max(beta * rate + zeta * (s - s before), 0)``; a layer that gains no more structure
comes to rest, and its rate can decay to zero. The first measurement changes nothing: there is none
before it to compare with, and the same holds for a layer until noise alone has grown a low-rank
part. Biases and normalisations follow their layer.

Equation 2 of the paper is printed both with and without squares. The released code sums
``sigma_i / sigma_1`` without, and so does this by default; ``squared`` gives the other form.

``param_groups[...]["lr"]`` starts as the initial rate. A scheduler that changes it is honoured: all
rates of the group are scaled by ``lr / initial_rate``.

Defaults are those of the paper; weight decay is added to the gradient.

References
----------
Hosseini, Tuli, Plataniotis 2022, "Exploiting Explainable Metrics for Augmented SGD", CVPR,
doi:10.1109/CVPR52688.2022.01005, arXiv 2203.16723.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ..config import Config
from ..errors import SettingError
from ..low_rank import measure

LEARNING_RATE, WEIGHT_DECAY = 0.03, 5e-4
OWN_RATES = True


class Options(Config):
    """Settings of RMSGD beside initial learning rate and weight decay."""

    beta: float = Field(0.98, ge=0, lt=1, description="memory of the layers' learning rates")
    zeta: float = Field(1.0, ge=0, description="weight of the gain in stable rank")
    momentum: float = Field(0.9, ge=0, lt=1, description="memory of the gradient")
    squared: bool = Field(False, description="square the singular values in the stable rank")


class RMSGD(torch.optim.Optimizer):
    """See the module's first lines.

    Each layer's rate and last stable rank are in the state of its weights, the epoch is in the
    groups: all of it in ``state_dict``.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
        learning_rate: float,
        weight_decay: float,
        options: Options,
    ) -> None:
        super().__init__(
            params, {"lr": learning_rate, "weight_decay": weight_decay, **options.model_dump()}
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; see `torch.optim.Optimizer`."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if not group["lr"] > 0:
            raise SettingError("RMSGD needs a learning rate to start with", f"lr = {group['lr']}")
        group.setdefault("initial_rate", group["lr"])
        group.setdefault("epoch", 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step by the gradients that are there, or that ``closure`` computes."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        leaders = self._leaders()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                gradient = weights.grad
                if group["weight_decay"]:
                    gradient = gradient.add(weights, alpha=group["weight_decay"])
                state = self.state[weights]
                if "momentum" in state:
                    gradient = state["momentum"].mul_(group["momentum"]).add_(gradient)
                elif group["momentum"]:
                    gradient = state["momentum"] = gradient.clone()
                weights.sub_(gradient, alpha=self._rate(weights, group, leaders))
        return loss

    def epoch_step(self) -> None:
        """Set each layer's learning rate by what its stable rank gained since the last call."""
        for group in self.param_groups:
            group["epoch"] += 1
            for weights in group["params"]:
                if weights.ndim < 2 or not weights.requires_grad:
                    continue
                state = self.state[weights]
                values = weights.detach().cpu()
                if values.dtype not in (torch.float32, torch.float64):
                    values = values.float()
                now = measure(values.numpy(), squared=group["squared"]).stable_rank
                before = state.get("stable_rank")
                if before is not None:
                    rate = state.get("rate", group["initial_rate"])
                    gain = group["zeta"] * (now - before)
                    state["rate"] = max(group["beta"] * rate + gain, 0.0)
                elif now > 0:
                    state["rate"] = group["initial_rate"]
                if before is not None or now > 0:
                    state["stable_rank"] = now

    def rates(self) -> dict[str, float]:
        """Learning rate of each layer, by its name in ``layers`` or, without names, its number."""
        leaders = self._leaders()
        found: dict[str, float] = {}
        for group in self.param_groups:
            names = group.get("layers") or [None] * len(group["params"])
            for weights, name in zip(group["params"], names, strict=True):
                if weights.ndim > 1:
                    found[name or str(len(found))] = self._rate(weights, group, leaders)
        return found

    def _leaders(self) -> dict[Tensor, Tensor]:
        """Parameters with a name of a layer, and the weights they follow."""
        named = [
            (name, weights)
            for group in self.param_groups
            for name, weights in zip(group.get("layers") or (), group["params"], strict=False)
        ]
        layers = {name: weights for name, weights in named if weights.ndim > 1}
        return {weights: layers[name] for name, weights in named if name in layers}

    def _rate(self, weights: Tensor, group: dict[str, Any], leaders: dict[Tensor, Tensor]) -> float:
        leader = leaders.get(weights, weights)
        own = self.state[leader].get("rate") if leader in self.state else None
        if own is None:
            return float(group["lr"])
        return float(own * (group["lr"] / group["initial_rate"]))


def build(
    params: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    options: Options,
) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters."""
    return RMSGD(params, learning_rate, weight_decay, options)

"""The policies that `train.py` trains: a small Gaussian MLP, and PufferLib's own beside it.

`checkpoint.py` stores what `make_policy` needs to build one again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.distributions import Normal


class Averages(Protocol):
    """What `Normalizer.update` needs of `trainer.World`."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over the processes."""


class Normalizer(nn.Module):
    """Observations scaled to mean 0 and variance 1, and clipped to -10..10.

    The statistics are part of the weights, so that a checkpoint carries them.

    Args:
      nobs: length of an observation row.
    """

    mean: torch.Tensor
    var: torch.Tensor
    count: torch.Tensor

    def __init__(self, nobs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(nobs))
        self.register_buffer("var", torch.ones(nobs))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Normalised rows (n, nobs)."""
        return ((observations - self.mean) * (self.var + 1e-6).rsqrt()).clamp(-10, 10)

    @torch.no_grad()
    def update(self, observations: torch.Tensor, world: Averages) -> None:
        """Take in the rows (..., nobs) of a rollout, those of all processes (Chan et al., 1979)."""
        rows = observations.reshape(-1, observations.shape[-1])
        mean = world.mean(rows.mean(0))
        var = world.mean(((rows - mean) ** 2).mean(0))
        total = self.count + len(rows) * world.size
        share = len(rows) * world.size / total
        delta = mean - self.mean
        self.var += share * (var - self.var + (1 - share) * delta**2)
        self.mean += share * delta
        self.count.copy_(total)


class Policy(nn.Module):
    """Tanh layers shared by the mean of a Gaussian and by the value.

    Args:
      nobs: length of an observation row.
      naction: length of an action row.
      hidden_size: width of every layer.
      layers: number of layers, at least 1.
      initial_log_std: of the actions, before training; it does not depend on the observation.
      normalize: scale observations by their mean and variance in training.
    """

    is_continuous = True

    def __init__(self, nobs: int, naction: int, hidden_size: int = 128, layers: int = 2,
                 initial_log_std: float = -0.5, normalize: bool = False) -> None:
        super().__init__()
        if layers < 1 or hidden_size < 1:
            raise ValueError(f"policy.layers and policy.hidden_size must be at least 1, got "
                             f"{layers} and {hidden_size}")
        self.hidden_size = hidden_size
        self.normalizer = Normalizer(nobs) if normalize else nn.Identity()
        sizes = [nobs] + [hidden_size] * layers
        encoder: list[nn.Module] = []
        for size, width in pairwise(sizes):
            encoder += [_linear(size, width, math.sqrt(2)), nn.Tanh()]
        self.encoder = nn.Sequential(*encoder)
        self.mean = _linear(hidden_size, naction, 0.01)
        self.log_std = nn.Parameter(torch.full((1, naction), float(initial_log_std)))
        self.value = _linear(hidden_size, 1, 1.0)

    def encode_observations(self, observations: torch.Tensor,
                            state: dict | None = None) -> torch.Tensor:
        """Hidden rows (n, hidden_size) of observations (n, nobs)."""
        return self.encoder(self.normalizer(observations.float()))

    def decode_actions(self, hidden: torch.Tensor) -> tuple[Normal, torch.Tensor]:
        """The actions' distribution (n, naction) and the value (n, 1)."""
        mean = self.mean(hidden)
        std = self.log_std.exp().expand_as(mean)
        # the check of the arguments costs more than the network at these sizes
        return Normal(mean, std, validate_args=False), self.value(hidden)

    def forward_eval(self, observations: torch.Tensor,
                     state: dict | None = None) -> tuple[Normal, torch.Tensor]:
        """As PuffeRL calls it in rollouts."""
        return self.decode_actions(self.encode_observations(observations))

    def forward(self, observations: torch.Tensor,
                state: dict | None = None) -> tuple[Normal, torch.Tensor]:
        """As PuffeRL calls it to learn."""
        return self.forward_eval(observations)


@dataclass(frozen=True)
class PolicyShape:
    """What a policy is built from, in basic types.

    Attributes:
      nobs, naction: lengths of an observation and of an action row.
      options: keyword arguments of `Policy`.
      rnn: keyword arguments of PufferLib's LSTMWrapper; None for no LSTM.
    """

    nobs: int
    naction: int
    options: dict[str, Any] = field(default_factory=dict)
    rnn: dict[str, int] | None = None


class _Spaces:
    """What PufferLib's LSTMWrapper asks of an environment."""

    def __init__(self, nobs: int) -> None:
        self.single_observation_space = self
        self.shape = (nobs,)


def make_policy(shape: PolicyShape) -> nn.Module:
    """Build a policy with fresh weights; raises ValueError for options that it does not have."""
    known = ("hidden_size", "layers", "initial_log_std", "normalize")
    for name in shape.options:
        if name not in known:
            raise ValueError(f"policy has no option {name!r}; known: {', '.join(known)}")
    policy: Any = Policy(shape.nobs, shape.naction, **shape.options)
    if shape.rnn is not None:
        from pufferlib.models import LSTMWrapper

        sizes = {"input_size": policy.hidden_size, "hidden_size": policy.hidden_size} | shape.rnn
        policy = LSTMWrapper(_Spaces(shape.nobs), policy, **sizes)
    return policy


class MeanActor:
    """Acts with the mean of a policy's Gaussian, and carries its recurrent state.

    Args:
      policy: what acts.
      num_envs: rows of the observations.
      device: where its weights are.
    """

    def __init__(self, policy: Any, num_envs: int, device: str = "cpu") -> None:
        self.policy, self.device = policy, device
        self.state: dict = {}
        if hasattr(policy, "lstm"):
            size = policy.hidden_size
            self.state = {"lstm_h": torch.zeros(num_envs, size, device=device),
                          "lstm_c": torch.zeros(num_envs, size, device=device)}

    @torch.no_grad()
    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (n, naction) float32 within -1..1 for observations (n, nobs)."""
        rows = torch.as_tensor(observations, device=self.device)
        actions, _ = self.policy.forward_eval(rows, self.state)
        return actions.mean.clamp(-1, 1).cpu().numpy()

    def forget(self, ended: np.ndarray) -> None:
        """Clear the recurrent state of the environments whose episode ended, (n,) bool."""
        for name in ("lstm_h", "lstm_c"):
            if name in self.state:
                self.state[name][torch.as_tensor(ended)] = 0


def _linear(size: int, width: int, gain: float) -> nn.Linear:
    layer = nn.Linear(size, width)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer

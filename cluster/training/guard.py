"""Judges each step before its update: a loss or gradient that is no number, or far above what it was lately."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Policy:
    """What to do about a step in trouble.

    Attributes:
        on_nan: "stop", "skip" or "rewind", where loss or gradient norm is no finite number.
        on_spike: the same, or "record" to go on as usual, where one is far above its running median.
        loss_factor, norm_factor: times the median that make a spike.
        window: steps the medians are over; nothing is a spike before so many steps.
        limit: troubles with "skip" or "rewind" that a run may have.
    """

    on_nan: str
    on_spike: str
    loss_factor: float
    norm_factor: float
    window: int
    limit: int


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a step.

    Attributes:
        kind: "nan" or "spike".
        action: what the policy says: "stop", "skip", "rewind" or "record".
        text: what was seen, in words.
    """

    kind: str
    action: str
    text: str


class Guard:
    """Sees every step's loss and gradient norm, which are the same on every rank, so that all ranks judge alike.

    Attributes:
        troubles: updates that were left out so far, over the whole run.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._losses: deque[float] = deque(maxlen=policy.window)
        self._norms: deque[float] = deque(maxlen=policy.window)
        self.troubles = 0

    def judge(self, loss: float, norm: float) -> Trouble | None:
        """What is wrong with a step of this global loss and gradient norm before clipping; None: nothing."""
        trouble = self._trouble(loss, norm)
        if trouble is None or trouble.action == "record":
            self._losses.append(loss)
            self._norms.append(norm)
            return trouble
        self.troubles += 1
        if trouble.action != "stop" and self.troubles > self._policy.limit:
            remedy = f"that is more than trouble_limit = {self._policy.limit} of them"
            return Trouble(trouble.kind, "stop", f"{trouble.text}; {remedy}")
        return trouble

    def _trouble(self, loss: float, norm: float) -> Trouble | None:
        policy = self._policy
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                return Trouble("nan", policy.on_nan, f"the {name} is no number")
        if len(self._losses) < policy.window:
            return None
        for name, value, seen, factor in (
            ("loss", loss, self._losses, policy.loss_factor),
            ("gradient's norm", norm, self._norms, policy.norm_factor),
        ):
            usual = median(seen)
            if value > factor * usual:
                return Trouble("spike", policy.on_spike, f"the {name} is {value:.4g}, usually {usual:.4g}")
        return None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {"losses": list(self._losses), "norms": list(self._norms), "troubles": self.troubles}

    def restore(self, state: Mapping[str, Any], keep_count: bool = False) -> None:
        """Go on as after `state`; with `keep_count` the troubles since then still count."""
        self._losses = deque(state["losses"], maxlen=self._policy.window)
        self._norms = deque(state["norms"], maxlen=self._policy.window)
        if not keep_count:
            self.troubles = int(state["troubles"])

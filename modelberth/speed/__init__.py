"""How fast a replica answers: a roofline with few fitted constants, explained term by term."""

from modelberth.speed.estimate import Server, Speed, as_measured, estimate
from modelberth.speed.explain import Term
from modelberth.speed.saturated import saturated
from modelberth.speed.work import Traffic

__all__ = ["Server", "Speed", "Term", "Traffic", "as_measured", "estimate", "saturated"]

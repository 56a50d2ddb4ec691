"""Pulumi components: the thin half that creates what a plan says."""

from .engine import EngineDeployment
from .node_pool import GpuNodePool, GpuNodePoolArgs
from .service import LLMService, LLMServiceArgs
from .targets import ExistingCluster, Target
from .weights import WeightStore, WeightStoreArgs

__all__ = [
    "EngineDeployment",
    "ExistingCluster",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "LLMService",
    "LLMServiceArgs",
    "Target",
    "WeightStore",
    "WeightStoreArgs",
]

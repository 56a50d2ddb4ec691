"""A stand-in for torch (and triton), so that the argument parsers of vLLM and SGLang import without its 4 GB.

The engines import torch at the top of every module, and their parsers compute nothing with it. Here every name exists
and means nothing. That this changes no argument is tested: the parsers have the same options beside the real torch.
"""

from __future__ import annotations

import abc
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

STOOD_IN = ("torch", "triton")
VERSION = "2.14.0"
DTYPES = frozenset(
    [
        *("float16", "float32", "float64", "bfloat16", "half", "float", "double", "complex64", "complex128"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "long", "int", "short"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"),
    ]
)
OTHER_DEVICES = frozenset({"hpu", "mlu", "musa", "npu"})
"""Attributes whose mere presence says that there is such a device."""
SUBMODULES = frozenset(
    [
        *("_C", "_dynamo", "_inductor", "backends", "compiler", "cpu", "cuda", "distributed", "fx", "hub", "library"),
        *("mps", "nn", "ops", "profiler", "testing", "utils", "version", "xpu"),
    ]
)

os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")  # or tvm_ffi tries to compile an extension of torch


class dtype:  # noqa: N801 (torch's own name)
    """torch.dtype: told apart by name."""

    itemsize = 2
    is_floating_point = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class _Class(abc.ABCMeta):
    """Classes with every attribute, as engines subclass and annotate with them."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _named(name)
        setattr(cls, name, value)
        return value

    def __or__(cls, other: Any) -> Any:
        return cls

    def __ror__(cls, other: Any) -> Any:
        return cls

    def __getitem__(cls, item: Any) -> Any:
        return cls


class Nothing(metaclass=_Class):
    """Has every attribute, can be called, decorates without effect, equals its like, and is false, empty and zero."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if len(arguments) == 1 and not named and isinstance(arguments[0], types.FunctionType | type):
            return arguments[0]
        return Nothing()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nothing)

    def __hash__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __int__(self) -> int:
        return 0

    __index__ = __len__ = __int__

    def __float__(self) -> float:
        return 0.0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getitem__(self, item: Any) -> Any:
        return self

    def __setitem__(self, item: Any, value: Any) -> None:
        pass

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __lt__(self, other: Any) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__

    def __add__(self, other: Any) -> Any:
        return self

    __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __add__
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __add__

    def __neg__(self) -> Any:
        return self


def _named(name: str) -> Any:
    """A class for a name in CamelCase, else a thing."""
    return _Class(name, (Nothing,), {}) if name[:1].isupper() and not name.isupper() else Nothing()


def _infer_schema(function: Any, **_: Any) -> str:
    """As many outputs as the function states; vLLM checks that of its own operators while it is imported."""
    outputs = str(function.__annotations__.get("return")).count("Tensor")
    return "() -> " + ", ".join(["Tensor"] * outputs)


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._find(name)
        setattr(self, name, value)
        return value

    def _find(self, name: str) -> Any:
        if f"{self.__name__}.{name}" in sys.modules:
            return sys.modules[f"{self.__name__}.{name}"]
        if self.__name__ == "torch":
            if name in OTHER_DEVICES:
                raise AttributeError(name)
            if name in DTYPES:
                return dtype(name)
            if name in SUBMODULES:
                return importlib.import_module(f"torch.{name}")
        if self.__name__ == "torch.version":
            return None
        if name == "infer_schema":
            return _infer_schema
        if name == "device_count":
            return lambda *_: 0
        if name.startswith("is_") or name == "_is_compiled":
            return lambda *_: False
        return _named(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in STOOD_IN:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


def _stand_in() -> None:
    sys.meta_path.insert(0, _Finder())
    found = _Module("torch")
    found.__path__ = []
    found.__spec__ = importlib.machinery.ModuleSpec("torch", None, is_package=True)
    found.__dict__.update(__version__=VERSION, dtype=dtype, Nothing=Nothing)
    sys.modules["torch"] = found


_stand_in()

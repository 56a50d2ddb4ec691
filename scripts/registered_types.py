"""Every type that stacks of a target can register, read off the code of the components.

Stacks that exist use some options each: what they register is less. Classes of the SDKs are found where they are named;
custom resources where a call says API version and kind; objects of doors in the catalog. A custom resource whose kind
nobody can read off stops the generator.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from modelberth.clouds.kinds import BUILT_IN
from modelberth.doors import controllers

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = ROOT / "components"
PURE = (ROOT / "modelberth" / "doors.py",)
"""Modules without an SDK that say what components make."""
TARGETS = ("gke", "eks", "existing")
PACKAGES = {"pulumi_kubernetes": "kubernetes", "pulumi_gcp": "gcp", "pulumi_aws": "aws"}
TOLD = ("components/door.py", "components/targets/eks_karpenter.py")
"""Modules that hand a kind on which their callers, or the catalog, say."""
_API = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+/v\d\w*")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]+")


class UnreadableKind(Exception):
    """A custom resource of a kind that its call does not say."""


def registered(target: str) -> frozenset[str]:
    """Type tokens of everything that stacks of ``gke``, ``eks`` or ``existing`` can register, components left out."""
    mine = sorted((COMPONENTS / "targets").glob(f"{target}*.py"))
    files = [*sorted(COMPONENTS.glob("*.py")), COMPONENTS / "targets" / "base.py", *mine, *PURE]
    found = {token for path in files for token in in_source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))}
    doors = (template for facts in controllers().values() for template in facts.objects)
    return frozenset(found | {f"kubernetes:{each.api_version}:{each.kind}" for each in doors})


@cache
def in_source(name: str, text: str) -> frozenset[str]:
    """Type tokens that the source of a module names. Raises :class:`UnreadableKind`."""
    tree = ast.parse(text, name)
    packages = dict(_packages(tree))
    found = {token for node in ast.walk(tree) if (token := _of_sdk(node, packages))}
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            token = _custom(node, constants)
            if token:
                found.add(token)
            elif ast.unparse(node.func).endswith(".CustomResource") and name not in TOLD:
                raise UnreadableKind(f"{name}:{node.lineno} makes a custom resource of a kind that it does not say")
    return frozenset(found)


def constant(path: str, name: str) -> object:
    """The value of a constant of a module, which is not imported."""
    return ast.literal_eval(_assigned(ast.parse((ROOT / path).read_text("utf-8")))[name])


def _packages(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What SDKs, and modules of theirs, are called in a module: name -> dotted, such as core -> kubernetes.core.v1."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {each.asname or each.name: PACKAGES[each.name] for each in node.names if each.name in PACKAGES}
    yield from known.items()
    for name, value in _assigned(tree).items():
        first, _, rest = ast.unparse(value).partition(".")
        if first in known and isinstance(value, ast.Attribute):
            yield name, f"{known[first]}.{rest}"


def _assigned(tree: ast.Module) -> Mapping[str, ast.expr]:
    """What a module assigns to single names."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = tuple(zip(target.elts, value.elts, strict=True))
            else:
                pairs = ((target, value),)
            found |= {each.id: value for each, value in pairs if isinstance(each, ast.Name)}
    return found


def _of_sdk(node: ast.AST, packages: Mapping[str, str]) -> str | None:
    """The type token of a class of an SDK that is named here; None for anything else."""
    if not isinstance(node, ast.Attribute):
        return None
    first, _, rest = ast.unparse(node).partition(".")
    package, *module, name = f"{packages.get(first, '')}.{rest}".split(".")
    other = name.endswith("Args") or name in ("Provider", "CustomResource")
    if other or not (package and module and name[:1].isupper()):
        return None
    if package != "kubernetes":
        return f"{package}:{module[0]}/{name[:1].lower()}{name[1:]}:{name}"
    group = module[0] if module[0] == "core" or module[0] in BUILT_IN else f"{module[0]}.k8s.io"
    return f"kubernetes:{group}/{module[1]}:{name}"


def _constants(tree: ast.Module) -> Mapping[str, str]:
    """Texts that a module names, its own and those that it takes from pure modules."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level and str(node.module).startswith("modelberth."):
            module = importlib.import_module(str(node.module))
            values = {each.asname or each.name: getattr(module, each.name) for each in node.names}
            found |= {name: value for name, value in values.items() if isinstance(value, str)}
    for name, value in _assigned(tree).items():
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found[name] = value.value
    return found


def _custom(call: ast.Call, constants: Mapping[str, str]) -> str | None:
    """The type token that a call says by an API version and a kind among its arguments."""
    said = [_text(each, constants) for each in (*call.args, *(keyword.value for keyword in call.keywords))]
    versions = [text for text in said if text and _API.fullmatch(text)]
    named = [_text(each.value, constants) for each in call.keywords if each.arg == "kind"]
    of_kind = [text for text in named or said if text and _KIND.fullmatch(text)]
    return f"kubernetes:{versions[0]}:{of_kind[0]}" if len(versions) == 1 and of_kind else None


def _text(node: ast.expr, constants: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.JoinedStr):
        parts = [_text(each.value if isinstance(each, ast.FormattedValue) else each, constants) for each in node.values]
        return "".join(part or "" for part in parts) if all(parts) else None
    return None

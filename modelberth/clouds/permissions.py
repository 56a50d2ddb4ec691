"""What a deployer must be allowed to do with the resources of a stack: rows by type, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.errors import ModelberthError


class Unlisted(ModelberthError):
    """A resource type, or a kind of object, for which no row says what it takes."""


class Needs(Row):
    """What it takes to create, read, update and delete a resource of ``type``, in the cloud's own words.

    ``acts_as`` is whether it runs as an identity that its maker must be allowed to use. ``passes`` are services that
    are handed a role, ``linked`` services that get a role of their own, ``more`` actions that no call has the name of.
    """

    type: Text
    create: tuple[Text, ...] = ()
    read: tuple[Text, ...] = ()
    update: tuple[Text, ...] = ()
    delete: tuple[Text, ...] = ()
    acts_as: bool = False
    passes: tuple[Text, ...] = ()
    linked: tuple[Text, ...] = ()
    more: tuple[Text, ...] = ()

    @property
    def calls(self) -> frozenset[str]:
        """Everything that is called in the life of the resource."""
        return frozenset((*self.create, *self.read, *self.update, *self.delete))


@cache
def rows(cloud: str) -> Mapping[str, Needs]:
    """Every row of a cloud, by resource type."""
    return index(read_rows(files("modelberth.clouds") / f"permissions_{cloud}.yaml", Needs), lambda row: row.type)


def needs(cloud: str, types: Iterable[str]) -> tuple[Needs, ...]:
    """The rows of some resource types, each once, by type.

    Types of another package than the cloud's are passed over. Raises :class:`Unlisted` with all types that have no row.
    """
    wanted = sorted({type_ for type_ in types if type_.startswith(f"{cloud}:")})
    if unlisted := [type_ for type_ in wanted if type_ not in rows(cloud)]:
        raise Unlisted(
            f"no row says what a deployer needs for {', '.join(unlisted)}: "
            f"add it to modelberth/clouds/permissions_{cloud}.yaml"
        )
    return tuple(rows(cloud)[type_] for type_ in wanted)

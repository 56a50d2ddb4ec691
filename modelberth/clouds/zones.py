"""Which region a zone belongs to, and whose name it is, whatever the cloud."""

from __future__ import annotations

from modelberth.clouds import aws_zones, gcp_zones

_CLOUDS = {"aws": aws_zones, "gcp": gcp_zones}


def region_of(zone: str, cloud: str | None = None) -> str | None:
    """The region of a zone, of one cloud or of any; None when no cloud names zones like this."""
    modules = [_CLOUDS[cloud]] if cloud else _CLOUDS.values()
    return next((region for module in modules if (region := module.region_of(zone))), None)


def is_region(name: str, cloud: str) -> bool:
    """Whether this could be the name of a region of this cloud."""
    return _CLOUDS[cloud].is_region(name)


def is_name_of_account(zone: str, cloud: str) -> bool:
    """Whether each account of this cloud decides which zone this name means."""
    return _CLOUDS[cloud].is_name_of_account(zone)


def example(cloud: str) -> str:
    """A zone of this cloud, as it is written."""
    return _CLOUDS[cloud].EXAMPLE

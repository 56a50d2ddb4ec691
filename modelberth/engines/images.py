"""Which engine publishes an image."""

from __future__ import annotations

from functools import cache

from modelberth.catalog import catalog
from modelberth.engines.base import image_parts


@cache
def _homes() -> tuple[tuple[str, str, str], ...]:
    """(engine, variant, repository) of every image that the engines themselves publish."""
    return tuple(
        (engine.id, variant, image_parts(template)[0])
        for engine in catalog().engines()
        for variant, template in engine.images.items()
    )


def published_as(repository: str) -> tuple[tuple[str, str], ...]:
    """(engine, variant) of the engines' own images that a repository is, also behind a registry prefix."""
    return tuple((engine, v) for engine, v, home in _homes() if repository == home or repository.endswith(f"/{home}"))

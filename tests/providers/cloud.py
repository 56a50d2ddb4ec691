"""The cloud of the stand-ins: objects that exist, a log of calls and planned faults, as files in one folder.

`cloud.json` holds the objects and the number of calls so far, `calls.jsonl` one line for each call that reached the
cloud, `faults.json` what shall go wrong. Tests read and change all three while provider processes run: each access
takes a lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "MODELBERTH_STAND_IN_CLOUD"
"""Environment variable with the folder's path."""


@dataclass
class Object:
    """Something that exists in the cloud."""

    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    urn: str = ""
    """The resource that made it, for people who read the file; a cloud knows no such thing."""
    contents: int = 0
    """How many things a bucket holds beside those that are objects here."""
    failed: str = ""
    """Why it exists but does not work, if so."""
    deleted: bool = False
    """Whether it is gone and only its name is still taken."""

    @property
    def key(self) -> str:
        """What no second object can have."""
        return f"{self.type}|{self.id}"


@dataclass
class Fault:
    """Something that goes wrong at a call: that of a number, or the next ones of a method, a type and a resource."""

    kind: str
    call: int | None = None
    method: str = ""
    type: str = ""
    urn: str = ""
    times: int = 1
    """How many calls it meets; one that has a number meets one."""

    def meets(self, number: int, method: str, type_: str, urn: str) -> bool:
        """Whether it happens at this call."""
        if self.call is not None:
            return self.call == number
        return self.method in ("", method) and self.type in ("", type_) and self.urn in ("", urn)


@dataclass
class State:
    """All that one folder holds beside the log."""

    calls: int = 0
    objects: dict[str, Object] = field(default_factory=dict)

    def of_type(self, type_: str) -> list[Object]:
        """The objects of one type."""
        return [each for each in self.objects.values() if each.type == type_ and not each.deleted]


class Cloud:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def of_environment(cls) -> Cloud:
        """The folder that the environment names; there is no other place to write to."""
        if not (folder := os.environ.get(FOLDER_VARIABLE)):
            raise RuntimeError(f"{FOLDER_VARIABLE} must name the folder that the stand-in keeps its cloud in")
        return cls(Path(folder))

    @contextmanager
    def changed(self) -> Iterator[State]:
        """The state, to be changed; it is written when the block ends without an error."""
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read()
            yield state
            text = json.dumps(
                {"calls": state.calls, "objects": [asdict(each) for each in state.objects.values()]}, indent=1
            )
            partial = self.folder / ".cloud.json"
            partial.write_text(text)
            partial.rename(self.folder / "cloud.json")

    def state(self) -> State:
        """The state as it is now; changes of it are lost."""
        return self._read()

    def objects(self, type_: str = "") -> list[Object]:
        """What exists, of one type or of all."""
        return [each for each in self._read().objects.values() if type_ in ("", each.type) and not each.deleted]

    def put(self, made: Object) -> None:
        """Make an object exist, as if somebody else had made it."""
        with self.changed() as state:
            state.objects[made.key] = made

    def drift(self, found: Object, **values: Any) -> None:
        """Change an object behind the engine's back."""
        with self.changed() as state:
            changed = state.objects[found.key]
            changed.inputs |= values
            changed.outputs |= values

    def remove(self, found: Object) -> None:
        """Delete an object behind the engine's back."""
        with self.changed() as state:
            del state.objects[found.key]

    def calls(self) -> list[dict[str, Any]]:
        """The calls that reached the cloud, in order."""
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []

    def plan(self, *faults: Fault) -> None:
        """Let these things go wrong, and no others."""
        (self.folder / "faults.json").write_text(json.dumps([asdict(fault) for fault in faults]))

    def begin(self, method: str, type_: str, urn: str = "") -> tuple[int, Fault | None]:
        """Count a call; its number, and what shall go wrong with it."""
        with self.changed() as state:
            state.calls += 1
            planned = self._faults()
            met = next((fault for fault in planned if fault.meets(state.calls, method, type_, urn)), None)
            if met is not None:
                met.times -= 1
                self.plan(*(fault for fault in planned if fault.times > 0))
            return state.calls, met

    def end(self, number: int, method: str, type_: str, *, urn: str, id_: str, outcome: str) -> None:
        """Write a call into the log."""
        line = {"call": number, "method": method, "type": type_, "id": id_, "urn": urn, "outcome": outcome}
        with (self.folder / "calls.jsonl").open("a") as log:
            log.write(json.dumps({**line, "at": round(time.time(), 3)}) + "\n")

    def _read(self) -> State:
        file = self.folder / "cloud.json"
        if not file.is_file():
            return State()
        found = json.loads(file.read_text())
        objects = [Object(**each) for each in found["objects"]]
        return State(found["calls"], {each.key: each for each in objects})

    def _faults(self) -> list[Fault]:
        file = self.folder / "faults.json"
        return [Fault(**each) for each in json.loads(file.read_text())] if file.is_file() else []

"""Rows about what servers answer to probes."""

from __future__ import annotations

from modelberth.catalog.schema import Positive, Row, Text


class Answers(Row):
    """What one server answers to a GET without credentials. A path that ends in ``*`` stands for all below it.

    ``ready`` answers only once the model is loaded, ``alive`` before that too; ``absent`` is asked for often and never
    served; ``guarded`` wants the API key, where one is set. A server that ``answers_while_loading`` opens its port
    before the model is loaded. ``on_all_addresses`` is where it listens when nothing is said.
    """

    id: Text
    port: Positive
    ready: tuple[Text, ...]
    alive: tuple[Text, ...] = ()
    absent: tuple[Text, ...] = ()
    guarded: tuple[Text, ...] = ()
    other_ports: tuple[Positive, ...] = ()
    answers_while_loading: bool = False
    on_all_addresses: bool = True

"""Flags that a service does not hand through: the package relies on what they change, or they open the pod."""

from __future__ import annotations

from collections.abc import Sequence

from modelberth.engines import flags

_MOVES = "probes, Service and alerts ask plain HTTP on its port and paths"
_OPENS = "whoever may send requests could read files of the pod or start programs in it"
_ROUTES = "it would serve models beside the one that is planned"

_REASONS: dict[str, dict[str, tuple[str, ...]]] = {
    "llamacpp": {
        _MOVES: ("api_prefix", "ssl_cert_file", "ssl_key_file"),
        _OPENS: ("mcp_servers_config", "mcp_servers_json", "no_agent", "no_webui_mcp_proxy", "tools", "tools_runtime"),
        _ROUTES: ("models_dir", "models_preset"),
    },
    "sglang": {
        _MOVES: ("enable_ssl_refresh", "grpc_mode", "smg_grpc_mode", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    },
    "vllm": {
        _MOVES: (
            "enable_ssl_refresh",
            "grpc",
            "ssl_ca_certs",
            "ssl_cert_reqs",
            "ssl_certfile",
            "ssl_ciphers",
            "ssl_keyfile",
            "uds",
        ),
    },
}
"""By engine and reason: names of flags in its table."""


def among(engine: str, args: Sequence[str], version: str) -> list[tuple[str, str]]:
    """(flag as it is spelled, why it is not handed through) for those of ``args``; a switch that says no passes."""
    reasons = _REASONS.get(engine)
    if reasons is None:
        return []
    table, abbreviations = flags.table(engine, version), engine != "llamacpp"
    found: list[tuple[str, str]] = []
    for why, names in reasons.items():
        spelled = flags.among(args, frozenset(names), table, abbreviations=abbreviations)
        found += [(word, why) for word in spelled if not flags.says_no(word)]
    return found

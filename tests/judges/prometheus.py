"""Pages of metrics before the real Prometheus: as series of its rule tests, and scraped by a server of it."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port
from toolchain import build, judges

PAGES = Path(__file__).resolve().parents[1] / "data" / "metrics"
SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
INTERVAL_S, MINUTES = 15, 60
START_S = 60.0

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def page(of: tuple[str, str], state: str) -> str:
    """The recorded or written page of (engine, version), ``idle`` or ``busy``."""
    return (PAGES / f"{of[0]}-{of[1]}-{state}.prom").read_text(encoding="utf-8")


def samples(text: str) -> Series:
    """The samples of a page: (name, labels) -> value."""
    found: Series = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            labels = tuple(sorted(LABEL.findall(match["labels"] or "")))
            found[match["name"], labels] = float(match["value"])
    return found


def kinds(text: str) -> dict[str, str]:
    """Kind of each metric of a page."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def hour(of: tuple[str, str], state: str, where: Mapping[str, str]) -> list[dict[str, str]]:
    """An hour of a pod as promtool wants it: gauges as on the page, counters from the idle page to this one."""
    before, after = samples(page(of, "idle")), samples(page(of, state))
    counters = {name for name, kind in kinds(page(of, state)).items() if kind != "gauge"}
    steps = MINUTES * 60 // INTERVAL_S
    found = []
    for (name, labels), value in after.items():
        counted = re.sub(r"_(bucket|sum|count)$", "", name) in counters or name in counters
        start = before.get((name, labels), 0.0) if counted else value
        found.append(series(name, {**dict(labels), **where}, start, (value - start) / steps))
    return found


def series(name: str, labels: Mapping[str, str], start: float, step: float = 0.0) -> dict[str, str]:
    """One series of an hour."""
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{shown}}}", "values": f"{start}+{step}x{MINUTES * 60 // INTERVAL_S}"}


def firing(rules: Mapping[str, Any], given: list[dict[str, str]], folder: Path) -> set[str]:
    """Names of the alerts that fire after an hour of the given series, as promtool's own rule test sees it.

    The test expects that none fires; promtool says which one does.
    """
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [rules]}))
    checked = _promtool("check", "rules", str(folder / "rules.yaml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = [rule["alert"] for rule in rules["rules"]]
    expected = [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0 or vector(0)',
            "eval_time": f"{MINUTES - 1}m",
            "exp_samples": [{"labels": "{}", "value": 0}],
        }
        for name in names
    ]
    test = {"interval": f"{INTERVAL_S}s", "input_series": given, "promql_expr_test": expected}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{INTERVAL_S}s", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    done = _promtool("test", "rules", str(folder / "test.yaml"))
    said = done.stdout + done.stderr
    found = {name for name in names if re.search(rf'expr: .*alertname=\\?"{name}\\?"', said)}
    assert found or done.returncode == 0, said
    return found


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return judges.run(str(build.binary("prometheus", "promtool")), *arguments, timeout_s=60)


class Server:
    """A running Prometheus that scrapes one target per page."""

    def __init__(self, base: str) -> None:
        self.base = base

    def ask(self, query: str) -> list[float]:
        """Values of an instant query; raises AssertionError with Prometheus's own words when it is no query."""
        url = f"{self.base}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None
        return [float(each["value"][1]) for each in found]


@contextmanager
def scraping(pods: Mapping[str, tuple[str, str]], namespace: str, folder: Path) -> Iterator[Server]:
    """Prometheus over pods: name -> (engine, version). Each serves its idle page three times, then its busy one."""
    asked: dict[str, int] = {}

    class Pod(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            asked[name] = asked.get(name, 0) + 1
            body = page(pods[name], "idle" if asked[name] <= 3 else "busy").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Pod)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    jobs = [
        {
            "job_name": name,
            "metrics_path": f"/{name}",
            "static_configs": [
                {"targets": [f"127.0.0.1:{web.server_port}"], "labels": {"namespace": namespace, "pod": name}}
            ],
        }
        for name in pods
    ]
    config, port = folder / "prometheus.yaml", free_port()
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    command = [str(build.binary("prometheus", "prometheus")), f"--config.file={config}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_S
        while any(asked.get(name, 0) < 6 for name in pods):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, f"Prometheus did not scrape: {asked}"
            time.sleep(0.2)
        yield Server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        log.close()
        web.shutdown()
        web.server_close()

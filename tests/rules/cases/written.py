"""Examples of what holds of objects that our components write: downloads, folders, records."""

from __future__ import annotations

from typing import Any

from tests.rules.cases import Case
from tests.rules.pods import hardened
from tests.rules.samples import vllm
from tests.rules.stacks import COMMIT, OURS, server

READ_ONLY = hardened()
FOLDER = f"meta-llama--Llama-3.1-8B-Instruct/{COMMIT}"
SCRIPT = 'set -eu\nmkdir -p "/weights/$FOLDER"\npython3 -c \'import os\nprint(os.environ["REPOSITORY"])\'\n'


def _job(*command: str, read_only: bool = False, mount: str = "/weights", **env: str | None) -> dict[str, Any]:
    told = {"FOLDER": FOLDER, "REPOSITORY": "meta-llama/Llama-3.1-8B-Instruct", "REVISION": COMMIT} | env
    container = {
        "name": "fetch",
        "image": "vllm/vllm-openai:v0.33.0",
        "command": list(command) or ["sh", "-c", SCRIPT],
        "env": [{"name": name, "value": value} for name, value in told.items() if value is not None],
        "volumeMounts": [{"name": "weights", "mountPath": mount}],
    }
    claim = {"claimName": "weights", "readOnly": read_only}
    pod = {"containers": [container], "volumes": [{"name": "weights", "persistentVolumeClaim": claim}]}
    spec = {
        "activeDeadlineSeconds": 3600,
        "backoffLimit": 4,
        "template": {"spec": pod | {"restartPolicy": "OnFailure"}},
    }
    meta = {"name": "fetch", "namespace": "models", "labels": OURS | {"modelberth.dev/role": "fetch"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def _reading(folder: str) -> dict[str, Any]:
    claim = {"name": "weights", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}
    mount = {"name": "weights", "mountPath": "/weights"}
    container = vllm(f"/weights/{folder}", "--max-model-len", "8192", volumeMounts=[mount])
    return server(container, ours=True, volumes=[claim])


def _caching(path: str, **more: Any) -> dict[str, Any]:
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "cache", "mountPath": "/cache"}]
    volumes = [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in ("tmp", "cache")]
    env = [{"name": "HF_HOME", "value": path}]
    return server(vllm(env=env, volumeMounts=mounts, securityContext=READ_ONLY), volumes=volumes, **more)


CASES = (
    Case("WH-20", "a download of ours passes", (_job(),)),
    Case(
        "WH-20", "a download that is started otherwise", (_job("python3", "fetch.py"),), "something else than a shell"
    ),
    Case(
        "WH-20",
        "a variable that the script reads is set",
        (_job(REPOSITORY=None),),
        "reads REPOSITORY, which is not set",
    ),
    Case("WH-20", "a folder of another revision", (_job(REVISION="f" * 40),), "another repository or revision"),
    Case("WH-20", "a folder of a commit and no revision", (_job(REVISION=None),), "another repository or revision"),
    Case("WH-14", "a server reads what is downloaded", (_reading(FOLDER), _job())),
    Case(
        "WH-14",
        "a folder that no download fills",
        (_reading("other--model/x"), _job()),
        "no download of the stack fills",
    ),
    Case("WH-04", "a cache in a volume passes", (_caching("/cache/hub"),)),
    Case("WH-04", "a cache on a read-only root", (_caching("/data/hub"),), "no volume is mounted at", advice=True),
    Case("WH-04", "in ours it stops", (_caching("/data/hub", ours=True),), "no volume is mounted at"),
    Case("WH-04", "a download that cannot write", (_job(read_only=True),), "cannot be written"),
    Case("WH-04", "weights that are mounted elsewhere", (_job(mount="/data"),), "/weights is read or written"),
)

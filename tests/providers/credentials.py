"""Stands in for `gke-gcloud-auth-plugin` and for `aws eks get-token`, which kubeconfigs call to log in.

It answers with the client certificate of the cluster that every cluster of the stand-ins is, and an optional token.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

from tests.providers.cluster import KUBECONFIG_VARIABLE, data


def main() -> int:
    """Print an ExecCredential."""
    if sys.argv[1:2] == ["aws"] and sys.argv[2:4] != ["eks", "get-token"]:
        print(f"the stand-in for the AWS CLI knows `eks get-token`, not {' '.join(sys.argv[2:])}", file=sys.stderr)
        return 2
    path = Path(os.environ[KUBECONFIG_VARIABLE])
    asked = json.loads(os.environ.get("KUBERNETES_EXEC_INFO", "{}"))
    certificate, key = (
        base64.b64decode(data(path, "user", f"client-{kind}")).decode() for kind in ("certificate", "key")
    )
    version = asked.get("apiVersion", "client.authentication.k8s.io/v1beta1")
    status = {"clientCertificateData": certificate, "clientKeyData": key}
    print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Examples of the rule about what pods may do in the cloud."""

from __future__ import annotations

import json
from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen
from tests.rules.cases.storage import POD, grant
from tests.rules.samples import L4, deployment, vllm

ACCOUNT = "models@example-project.iam.gserviceaccount.com"
MANY = (
    "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc.id.goog/namespace/models"
)
UPLOADER = POD.replace("/sa/chat", "/sa/fetch")


def project(member: Any, role: Any) -> Seen:
    return "gcp:projects/iAMMember:IAMMember", {"project": "example-project", "role": role, "member": member}


def serving(account: str = "chat") -> dict[str, Any]:
    served = deployment(vllm(), pod=L4 | {"serviceAccountName": account})
    return {"apiVersion": "apps/v1", **served, "metadata": {"name": "server", "namespace": "models"}}


def acting_as(cloud: str, name: str = "chat") -> dict[str, Any]:
    keys = ("iam.gke.io/gcp-service-account", "eks.amazonaws.com/role-arn")
    key = keys[cloud.startswith("arn:")]
    metadata = {"name": name, "namespace": "models", "annotations": {key: cloud}}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def trust(service: str = "pods.eks.amazonaws.com") -> str:
    return json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    )


def by_token(provider: str) -> str:
    federated = {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{provider}"}
    return json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": federated, "Action": "sts:AssumeRoleWithWebIdentity"}]}
    )


def role(**changes: Any) -> Seen:
    return "aws:iam/role:Role", {"name": "chat", "assumeRolePolicy": trust(), **changes}


def document(actions: Any, resources: Any = "arn:aws:s3:::example-weights/*", effect: str = "Allow") -> str:
    return json.dumps({"Statement": [{"Effect": effect, "Action": actions, "Resource": resources}]})


def inline(policy: Any, role: Any = "chat") -> Seen:
    return "aws:iam/rolePolicy:RolePolicy", {"role": role, "policy": policy}


def attached(arn: Any, role: Any = "chat") -> Seen:
    return "aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"role": role, "policyArn": arn}


def managed(name: str) -> str:
    return f"arn:aws:iam::aws:policy/{name}"


def associated(account: str = "chat", role: Any = "arn:aws:iam::111122223333:role/chat") -> Seen:
    named = {"clusterName": "models", "namespace": "models", "serviceAccount": account, "roleArn": role}
    return "aws:eks/podIdentityAssociation:PodIdentityAssociation", named


_OWNS = "may delete the bucket"
_WRITES = "may replace weights"
CASES = (
    Case("CS-09", "pods that read one bucket are fine", (grant(), serving())),
    Case("CS-09", "pods that own a bucket are refused", (grant(role="roles/storage.admin"),), _OWNS),
    Case(
        "CS-09",
        "the older way to name pods is one",
        (grant("serviceAccount:p.svc.id.goog[models/chat]", "roles/storage.admin"),),
        _OWNS,
    ),
    Case(
        "CS-09",
        "an account that owns a bucket is refused",
        (grant(f"serviceAccount:{ACCOUNT}", "roles/storage.admin"),),
        _OWNS,
    ),
    Case("CS-09", "a person may own a bucket", (grant("group:platform@example.com", "roles/storage.admin"),)),
    Case(
        "CS-09",
        "a service of the cloud may own a bucket",
        (grant("serviceAccount:service-1@gcp-sa-storagetransfer.iam.gserviceaccount.com", "roles/storage.admin"),),
    ),
    Case("CS-09", "pods that serve do not write", (grant(role="roles/storage.objectAdmin"), serving()), _WRITES),
    Case("CS-09", "pods that download write", (grant(UPLOADER, "roles/storage.objectUser"), serving())),
    Case("CS-09", "nobody serves where nobody is", (grant(role="roles/storage.objectUser"),)),
    Case(
        "CS-09",
        "all pods of a namespace are also those that serve",
        (grant(MANY, "roles/storage.objectUser"), serving()),
        _WRITES,
    ),
    Case(
        "CS-09",
        "pods that serve do not write as somebody else",
        (grant(f"serviceAccount:{ACCOUNT}", "roles/storage.objectUser"), acting_as(ACCOUNT), serving()),
        _WRITES,
    ),
    Case(
        "CS-09",
        "an account that uploads is fine",
        (grant(f"serviceAccount:{ACCOUNT}", "roles/storage.objectUser"), serving()),
    ),
    Case(
        "CS-09",
        "a role that is not known yet is a doubt",
        (grant(role=UNKNOWN),),
        "cannot decide whether the identity of pods only reads",
        undecided=True,
    ),
    Case(
        "CS-09",
        "who owns a bucket may not be known yet",
        (grant(UNKNOWN, "roles/storage.admin"),),
        "cannot decide",
        undecided=True,
    ),
    Case("CS-09", "who reads a bucket may not be known yet", (grant(UNKNOWN),)),
    Case("CS-09", "pods do not edit a project", (project(POD, "roles/editor"),), _WRITES),
    Case("CS-09", "pods do not view a project", (project(POD, "roles/viewer"),), "reads everything there is"),
    Case(
        "CS-09",
        "pods that read every bucket are advised against",
        (project(POD, "roles/storage.objectViewer"),),
        "every bucket",
        advice=True,
    ),
    Case(
        "CS-09",
        "an account that owns a project is advised against",
        (project(f"serviceAccount:{ACCOUNT}", "roles/owner"),),
        _OWNS,
        advice=True,
    ),
    Case(
        "CS-09",
        "what has nothing to do with buckets is fine",
        (project(f"serviceAccount:{ACCOUNT}", "roles/logging.logWriter"),),
    ),
    Case("CS-09", "a role that reads one folder is fine", (role(), inline(document(["s3:GetObject"])), serving())),
    Case("CS-09", "a role with every action is refused", (role(), inline(document("s3:*"))), _OWNS),
    Case("CS-09", "a role with every action of everything is refused", (role(), inline(document("*", "*"))), _OWNS),
    Case(
        "CS-09",
        "a role that writes to the bucket itself is refused",
        (role(), inline(document("s3:Put*", "arn:aws:s3:::example-weights"))),
        _OWNS,
    ),
    Case("CS-09", "a role that denies everything is fine", (role(), inline(document("s3:*", effect="Deny")))),
    Case(
        "CS-09",
        "a policy inside the role is read",
        (role(inlinePolicies=[{"name": "p", "policy": document("s3:*")}]),),
        _OWNS,
    ),
    Case("CS-09", "full access is refused", (role(), attached(managed("AmazonS3FullAccess"))), _OWNS),
    Case("CS-09", "an administrator is refused", (role(managedPolicyArns=[managed("AdministratorAccess")]),), _OWNS),
    Case(
        "CS-09",
        "reading every bucket is advised against",
        (role(), attached(managed("AmazonS3ReadOnlyAccess"))),
        "every bucket",
        advice=True,
    ),
    Case("CS-09", "a driver's policy is fine", (role(), attached(managed("service-role/AmazonEBSCSIDriverPolicy")))),
    Case(
        "CS-09",
        "a policy of your own is read where it is attached",
        (
            role(),
            attached("arn:aws:iam::111122223333:policy/weights"),
            ("aws:iam/policy:Policy", {"name": "weights", "policy": document("s3:*")}),
        ),
        _OWNS,
    ),
    Case(
        "CS-09",
        "the role of machines is none of pods",
        (role(assumeRolePolicy=trust("ec2.amazonaws.com")), inline(document("s3:*"))),
    ),
    Case(
        "CS-09",
        "a role by a token of the cluster is one of pods",
        (role(assumeRolePolicy=by_token("oidc.eks.eu-central-1.amazonaws.com/id/A")), inline(document("s3:*"))),
        _OWNS,
    ),
    Case(
        "CS-09",
        "a role by a token of a pipeline is none",
        (
            role(assumeRolePolicy=by_token("token.actions.githubusercontent.com")),
            attached(managed("AdministratorAccess")),
        ),
    ),
    Case(
        "CS-09",
        "whom a role trusts may be known later",
        (role(assumeRolePolicy=UNKNOWN), inline(document("s3:*"))),
        _OWNS,
    ),
    Case(
        "CS-09",
        "a role of pods that serve does not write",
        (role(), inline(document(["s3:GetObject", "s3:Put*"])), associated(), serving()),
        _WRITES,
    ),
    Case(
        "CS-09",
        "a role of pods that download writes",
        (role(), inline(document(["s3:GetObject", "s3:Put*"])), associated("fetch"), serving()),
    ),
    Case(
        "CS-09",
        "a role by annotation does not write",
        (role(), inline(document("s3:PutObject")), acting_as("arn:aws:iam::111122223333:role/chat"), serving()),
        _WRITES,
    ),
    Case(
        "CS-09",
        "a policy that is not known yet is a doubt that only advises",
        (role(), inline(UNKNOWN)),
        "cannot decide whether the identity of pods only reads",
        undecided=True,
        advice=True,
    ),
    Case(
        "CS-09",
        "what is no policy is left to the API",
        (role(assumeRolePolicy=7), inline("no JSON"), grant(role=[])),
    ),
)

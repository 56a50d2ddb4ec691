"""Names that a cloud takes for a bucket, and that engines and drivers can use."""

from __future__ import annotations

import re

_COMMON = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SHAPE = "3 to 63 lower-case letters, digits and '-', with a letter or digit at both ends"
_DOTS = "has dots, which the certificate of the cloud's addresses does not cover"
_AWS_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")
_AWS_ENDS = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")


def bucket_name_problem(name: str, cloud: str) -> str:
    """Why a cloud, or TLS, does not take this name; empty when they do.

    Sources: cloud.google.com/storage/docs/buckets#naming,
    docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if "." in name:
        return _DOTS
    if not 3 <= len(name) <= 63 or not _COMMON.fullmatch(name):
        return f"is no bucket's name: {_SHAPE}"
    if cloud == "gcp" and (name.startswith("goog") or "google" in name):
        return "must not begin with goog nor hold google"
    if cloud == "aws" and name.startswith(_AWS_BEGINNINGS):
        return f"must not begin with {next(each for each in _AWS_BEGINNINGS if name.startswith(each))}"
    if cloud == "aws" and name.endswith(_AWS_ENDS):
        return f"must not end with {next(each for each in _AWS_ENDS if name.endswith(each))}"
    return ""

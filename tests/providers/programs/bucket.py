"""One bucket."""

import json
import pathlib

import pulumi
import pulumi_gcp as gcp

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
bucket = gcp.storage.Bucket(
    "weights", location="US-CENTRAL1", uniform_bucket_level_access=True, opts=pulumi.ResourceOptions(), **settings
)
pulumi.export("url", bucket.url)

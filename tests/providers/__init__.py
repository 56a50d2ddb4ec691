"""Stand-ins for the `gcp` and `aws` provider plugins: the real engine starts them, no cloud is needed.

Programs under test use the official SDKs unchanged. What they send is checked against the installed SDKs' own types
and against tables taken from the official providers; objects live in a folder of JSON files that tests can read.
"""

"""The one error of the embedded cluster."""


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says why and the way out."""

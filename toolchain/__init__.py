"""What modelberth needs to run the Pulumi engine and a Kubernetes control plane on this machine."""

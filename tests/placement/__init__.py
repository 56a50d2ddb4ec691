"""What the planner says of a node beside what the real scheduler does with it, for every machine type."""

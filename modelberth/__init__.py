"""Right-sized infrastructure for language models."""

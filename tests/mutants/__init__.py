"""Mutation testing of the policy pack: stacks in which one field was changed, and the rule that must notice."""

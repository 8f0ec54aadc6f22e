"""Pure: the rules, the decision, and its explanation."""

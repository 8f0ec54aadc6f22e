"""Pure: the rules, the decision that they lead to, and its explanation."""

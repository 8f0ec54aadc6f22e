"""A gateway and an identity provider in the process of a test: they start fast, and the test can move their clock."""

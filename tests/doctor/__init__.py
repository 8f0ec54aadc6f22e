"""The doctor, behind real proxies."""

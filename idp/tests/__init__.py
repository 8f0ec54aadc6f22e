"""The identity provider's own tests. They travel with a copy of idp/: python -m pytest idp/tests"""

"""Deployment markers that are true."""

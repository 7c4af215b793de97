"""Endpoints: servers of models on ports of this machine, and what brings requests to them."""

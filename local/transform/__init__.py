"""Batch transform: what the platform does around a container, with any server as the container."""

"""Builds drakit's container image, without a container engine: see docs/image.md."""

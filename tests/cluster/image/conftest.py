"""A copy of the checkout to build images of."""

from tests.packaging.conftest import checkout

__all__ = ["checkout"]

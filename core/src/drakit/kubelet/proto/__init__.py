"""The kubelet's wire messages: `.proto` files and the modules generated from them.

Each file stands alone and is registered under its path in this package, so that no other package's `api.proto` can
collide with it. Import a module as `from drakit.kubelet.proto import dra_v1_pb2`; the services are in its DESCRIPTOR,
from which handlers and clients are made without further generated code. `generate.py` makes the modules anew.
"""

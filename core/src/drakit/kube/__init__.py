"""The API server, as an agent in a pod speaks to it: plain documents over HTTP, claims read and slices published.

Nothing here imports the `kubernetes` package, except `credentials.from_kubeconfig` when it is called.
"""

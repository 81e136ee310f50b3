"""Where the API server is and who we are to it: in a pod, from a kubeconfig, or as given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from drakit.errors import ConfigError, describe

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def _is_server(_instance: object, _attribute: Attribute[str], value: str) -> None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, a bracket that is not closed
        good = False
    if not good:
        raise ConfigError(f"API server {value!r} is not a URL such as https://10.0.0.1:443")


def _path(path: str | Path | None) -> Path | None:
    return Path(path) if path else None


@frozen(kw_only=True)
class Credentials:
    """How to reach and to speak to one API server.

    Files are named, not read: their content may be rotated at any time. `authorize` returns the value of the
    Authorization header for a request that is about to be made, "" for none; it comes before `token_file`. It may
    block, as a kubeconfig's exec plugin does when its token has run out. `renew` is called when the server has refused
    that value, and has it read anew where it comes from; it raises ConfigError where that cannot be.
    """

    server: str = field(validator=_is_server)
    ca_file: Path | None = field(default=None, converter=_path)
    token_file: Path | None = field(default=None, converter=_path)
    authorize: Callable[[], str] | None = field(default=None, repr=False)
    renew: Callable[[], None] | None = field(default=None, repr=False)
    client_certificate: Path | None = field(default=None, converter=_path)
    client_key: Path | None = field(default=None, converter=_path)
    verify_server: bool = True
    server_name: str | None = None


def in_cluster(*, environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT) -> Credentials:
    """The credentials of the pod's service account. Raises ConfigError outside of a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError(
            "not in a Kubernetes pod (KUBERNETES_SERVICE_HOST is not set); give a kubeconfig, "
            "with KUBECONFIG in the environment or in the settings"
        )
    token_file, ca_file = service_account / "token", service_account / "ca.crt"
    for path in (token_file, ca_file):
        if not path.is_file():
            raise ConfigError(f"{path} is missing; let the pod mount its service account's token")
    bracketed = f"[{host}]" if ":" in host else host
    return Credentials(server=f"https://{bracketed}:{port}", ca_file=ca_file, token_file=token_file)


def find_credentials(
    kubeconfig: Path | None = None, *, context: str | None = None, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """The kubeconfig that is given, else the pod's own, else the kubeconfig a user has.

    Raises ConfigError where there is none of them.
    """
    if kubeconfig is not None:
        return from_kubeconfig(str(kubeconfig), context)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ=environ)
    if named := environ.get("KUBECONFIG"):
        return from_kubeconfig(named, context)
    usual = Path(environ.get("HOME", "/")) / ".kube" / "config"
    if usual.is_file():
        return from_kubeconfig(str(usual), context)
    raise ConfigError(f"no API server to speak to: not in a pod, KUBECONFIG is not set and {usual} does not exist")


def from_kubeconfig(path: str, context: str | None = None) -> Credentials:
    """The credentials of one context of a kubeconfig; `path` may be a list of files, as in KUBECONFIG.

    Exec plugins, OIDC and embedded certificates are the `kubernetes` package's work. It is imported here and only
    here: it costs 20 MiB and 150 ms, which an agent in a pod does not pay.
    """
    from kubernetes import client, config

    configuration: Any = client.Configuration()
    load: Any = config.load_kube_config  # the package is typed in part
    configuration.proxy = None  # what the environment says of proxies is not for the API server

    def read() -> None:
        try:
            load(config_file=path, context=context, client_configuration=configuration)
        except Exception as error:
            raise ConfigError(f"kubeconfig {path!r} cannot be used: {describe(error)}") from error

    read()
    if configuration.proxy:
        raise ConfigError(
            f"kubeconfig {path!r} asks for the proxy {configuration.proxy!r}; drakit does not use proxies"
        )

    def authorize() -> str:
        if configuration.refresh_api_key_hook is not None:
            configuration.refresh_api_key_hook(configuration)
        # Releases of the package differ in the name of the key.
        return configuration.api_key.get("BearerToken") or configuration.api_key.get("authorization") or ""

    return Credentials(
        server=configuration.host,
        ca_file=configuration.ssl_ca_cert,
        client_certificate=configuration.cert_file,
        client_key=configuration.key_file,
        authorize=authorize,
        renew=read,  # a token in the file, or in another that it names, may have been replaced
        verify_server=configuration.verify_ssl,
        server_name=getattr(configuration, "tls_server_name", None),
    )

"""Where credentials come from."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from drakit.errors import ConfigError
from drakit.kube.credentials import Credentials, find_credentials, from_kubeconfig, in_cluster


@pytest.fixture
def service_account(tmp_path):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_in_a_pod_the_service_account_is_used(service_account, host, server):
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}
    credentials = in_cluster(environ=environ, service_account=service_account)
    assert credentials.server == server
    assert credentials.token_file == service_account / "token"
    assert credentials.ca_file == service_account / "ca.crt"


def test_outside_of_a_pod_the_error_says_what_to_give():
    with pytest.raises(ConfigError, match=r"not in a Kubernetes pod.*give a kubeconfig"):
        in_cluster(environ={})


def test_a_pod_without_its_token_is_told_so(service_account):
    (service_account / "token").unlink()
    with pytest.raises(ConfigError, match="token is missing; let the pod mount"):
        in_cluster(environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, service_account=service_account)


def test_nowhere_to_be_found_says_where_was_looked(tmp_path):
    with pytest.raises(ConfigError, match=r"KUBECONFIG is not set and .*/\.kube/config does not exist"):
        find_credentials(environ={"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "server", ["10.0.0.1:443", "ftp://host", "https://", "http://h:x", "http://h:0", "http://h:65536", "http://[::1"]
)
def test_a_server_must_be_a_url(server):
    with pytest.raises(ConfigError, match="is not a URL"):
        Credentials(server=server)


def kubeconfig(path, *, cluster=None, user=None):
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_kubeconfig_becomes_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (tmp_path / name).write_text("")
    cluster = {"certificate-authority": "ca.crt", "tls-server-name": "kubernetes", "insecure-skip-tls-verify": True}
    user = {"token": "secret", "client-certificate": "tls.crt", "client-key": "tls.key"}
    path = kubeconfig(tmp_path / "config", cluster=cluster, user=user)
    for credentials in (
        find_credentials(path, environ={}),
        find_credentials(environ={"KUBECONFIG": str(path)}),
        from_kubeconfig(str(path), "one"),
    ):
        assert credentials.server == "https://10.0.0.1:6443"
        assert credentials.ca_file == tmp_path / "ca.crt"
        assert (credentials.client_certificate, credentials.client_key) == (tmp_path / "tls.crt", tmp_path / "tls.key")
        assert credentials.authorize() == "Bearer secret"
        assert credentials.server_name == "kubernetes"
        assert not credentials.verify_server


def test_an_exec_plugins_token_is_asked_for(tmp_path):
    answer = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-exec"}}'
    )
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [answer]}
    path = kubeconfig(tmp_path / "config", user={"exec": exec_ | {"interactiveMode": "Never"}})
    assert from_kubeconfig(str(path)).authorize() == "Bearer from-exec"


def test_a_kubeconfig_without_credentials_gives_none(tmp_path):
    assert from_kubeconfig(str(kubeconfig(tmp_path / "config"))).authorize() == ""


def test_a_proxy_is_refused_rather_than_passed_by(tmp_path):
    path = kubeconfig(tmp_path / "config", cluster={"proxy-url": "http://proxy.example.com"})
    with pytest.raises(ConfigError, match=r"proxy\.example\.com'; drakit does not use proxies"):
        from_kubeconfig(str(path))


@pytest.mark.parametrize(("content", "context"), [(None, None), ("]", None), ("a: 1", None), ("good", "absent")])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path, content, context):
    path = tmp_path / "config"
    if content == "good":
        kubeconfig(path)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"kubeconfig '{path}' cannot be used"):
        from_kubeconfig(str(path), context)


def test_in_a_pod_the_kubernetes_package_is_never_imported(service_account):
    script = f"""
import sys
from pathlib import Path
import drakit.kube.claims, drakit.kube.client, drakit.kube.publisher
from drakit.kube.credentials import in_cluster
environ = {{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}}
credentials = in_cluster(environ=environ, service_account=Path({str(service_account)!r}))
drakit.kube.client.KubeClient(credentials)
found = [name for name in sys.modules if name.partition(".")[0] in ("kubernetes", "urllib3", "grpc")]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True)

"""The agent's settings: one strict YAML file, and environment variables for its scalars.

A variable wins over the file, a command-line flag over both. Names of variables are those that DRA drivers share
(NODE_NAME, CDI_ROOT, ...); what only drakit has begins with DRAKIT_.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import Attribute, field, frozen

from drakit.decoding import camel, load_yaml, structure
from drakit.errors import ConfigError, LimitExceeded
from drakit.model import TaintEffect
from drakit.model.converters import frozen_tuple
from drakit.model.names import (
    MAX_DRIVER_NAME,
    MAX_OBJECT_NAME,
    SUBDOMAIN,
    check_driver_name,
    check_label_key,
    check_subdomain,
)

API_VERSION = "drakit/v1alpha1"
KIND = "AgentConfiguration"
CONFIG_VARIABLE = "DRAKIT_CONFIG"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
KUBELET_SECONDS = 45
"""How long the kubelet waits for an answer to Prepare or Unprepare."""

VARIABLES = {
    "node_name": "NODE_NAME",
    "pod_uid": "POD_UID",
    "root": "DRAKIT_ROOT",
    "host_root": "DRAKIT_HOST_ROOT",
    "cdi_root": "CDI_ROOT",
    "kubelet_registrar_directory_path": "KUBELET_REGISTRAR_DIRECTORY_PATH",
    "kubelet_plugins_directory_path": "KUBELET_PLUGINS_DIRECTORY_PATH",
    "kubeconfig": "KUBECONFIG",
    "api_server": "DRAKIT_API_SERVER",
    "hook_bound_seconds": "DRAKIT_HOOK_BOUND_SECONDS",
    "drain_seconds": "DRAKIT_DRAIN_SECONDS",
    "discovery_seconds": "DRAKIT_DISCOVERY_SECONDS",
    "health_seconds": "DRAKIT_HEALTH_SECONDS",
    "fault_steady_seconds": "DRAKIT_FAULT_STEADY_SECONDS",
    "log_level": "DRAKIT_LOG_LEVEL",
    "log_format": "DRAKIT_LOG_FORMAT",
    "healthcheck_port": "HEALTHCHECK_PORT",
    "metrics_port": "METRICS_PORT",
    "kubelet_pod_resources_socket": "KUBELET_POD_RESOURCES_SOCKET",
    "list_attributes": "DRAKIT_LIST_ATTRIBUTES",
}
"""The environment variable of each setting that has one, by field name."""


_POSITIVE = {"schema": {"exclusiveMinimum": 0}}
_BELOW_THE_KUBELETS = {"schema": {"exclusiveMinimum": 0, "exclusiveMaximum": KUBELET_SECONDS}}
_PORT = {"schema": {"maximum": 65535}}
_DRIVER_NAME = {"schema": {"maxLength": MAX_DRIVER_NAME, "pattern": f"^{SUBDOMAIN}$"}}
_CLASS_NAME = {"schema": {"maxLength": MAX_OBJECT_NAME, "pattern": f"^{SUBDOMAIN}$"}}
_LOG_LEVEL = {"schema": {"enum": list(LOG_LEVELS)}}
_LOG_FORMAT = {"schema": {"enum": list(LOG_FORMATS)}}
"""What validators hold fields to, in the words of JSON schema, for whoever makes one of these classes."""


def _positive(_instance: Any, attribute: Attribute[float], value: float) -> None:
    if not 0 < value < math.inf:  # nor is "not a number" one
        raise LimitExceeded(camel(attribute.name), "must be over 0", value)


def _below_the_kubelets(_instance: Any, attribute: Attribute[float], value: float) -> None:
    if not 0 < value < KUBELET_SECONDS:
        raise LimitExceeded(camel(attribute.name), f"must be over 0 and below the kubelet's {KUBELET_SECONDS} s", value)


def _one_of(allowed: Sequence[str]) -> Callable[[Any, Attribute[str], str], None]:
    def check(_instance: Any, attribute: Attribute[str], value: str) -> None:
        if value not in allowed:
            raise LimitExceeded(camel(attribute.name), f"must be one of {', '.join(allowed)}", value)

    return check


def _port(_instance: Any, attribute: Attribute[int], value: int) -> None:
    if value > 65535:
        raise LimitExceeded(camel(attribute.name), "must be a TCP port, or 0 or less for none", value)


def _driver(_instance: Any, _attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        check_driver_name("driver", value)


def _device_class(_instance: Any, _attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        check_subdomain("deviceClass", value, MAX_OBJECT_NAME)


def _taint_key(_instance: Any, _attribute: Attribute[str], value: str) -> None:
    if value:
        check_label_key("key", value)


def _taint_effect(_instance: Any, _attribute: Attribute[TaintEffect], value: TaintEffect) -> None:
    if value is TaintEffect.NONE:
        raise LimitExceeded("effect", f"must be {TaintEffect.NO_SCHEDULE} or {TaintEffect.NO_EXECUTE}", value.value)


@frozen(kw_only=True)
class TaintSettings:
    """The taint of a device with a fault; its value is the name of the fault."""

    key: str = field(default="", validator=_taint_key)
    """By default the driver's name, then `/unhealthy`."""
    effect: TaintEffect = field(default=TaintEffect.NO_SCHEDULE, validator=_taint_effect)
    """NoSchedule, or NoExecute to have pods evicted too."""


@frozen(kw_only=True)
class BackendSettings:
    """One backend: a plugin, the driver it serves, and the plugin's own options."""

    plugin: str
    """The entry-point name. Only what is listed here is imported."""
    driver: str | None = field(default=None, validator=_driver, metadata=_DRIVER_NAME)
    """The DRA driver's name; the plugin's own by default. One plugin may serve several."""
    options: Mapping[str, Any] = field(factory=dict)
    """Decoded into the plugin's own settings class, strictly."""
    device_metadata: bool | None = None
    """Whether containers get files that describe their devices; by default as the plugin declares."""
    node_labels: bool = False
    """Whether the Node gets the labels that the plugin names; the agent must be allowed to write them."""
    device_class: str | None = field(default=None, validator=_device_class, metadata=_CLASS_NAME)
    """The name of the plugin's one DeviceClass, as `drakit classes` prints it; by default as shipped."""
    taints: TaintSettings | None = None
    """How devices with faults are tainted; without it they are not."""


@frozen(kw_only=True)
class ExtensionSettings:
    """One plugin without a driver: it adds attributes or groups."""

    plugin: str
    options: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Settings:
    """Everything an agent is told."""

    backends: tuple[BackendSettings, ...] = field(default=(), converter=frozen_tuple)
    extensions: tuple[ExtensionSettings, ...] = field(default=(), converter=frozen_tuple)
    node_name: str = ""
    """The Node's name in the cluster; in a pod from the downward API."""
    pod_uid: str = ""
    """The agent's own pod. With it, two agents of a rolling update can serve side by side."""
    root: Path = field(default=Path("/"), converter=Path)
    """Where this process sees the host's file system."""
    host_root: Path | None = field(default=None, converter=attrs.converters.optional(Path))
    """Where the container runtime sees the same tree; the same as `root` by default."""
    cdi_root: Path = field(default=Path("/var/run/cdi"), converter=Path)
    kubelet_registrar_directory_path: Path = field(default=Path("/var/lib/kubelet/plugins_registry"), converter=Path)
    kubelet_plugins_directory_path: Path = field(default=Path("/var/lib/kubelet/plugins"), converter=Path)
    kubeconfig: str = ""
    """A kubeconfig file; without one, the service account of the pod."""
    api_server: str = ""
    """The URL of an API server that asks for no credentials, such as `kubectl proxy`."""
    hook_bound_seconds: float = field(default=40.0, validator=_below_the_kubelets, metadata=_BELOW_THE_KUBELETS)
    """How long a hook may run before its driver counts as stuck: below the kubelet's 45 s."""
    drain_seconds: float = field(default=20.0, validator=_positive, metadata=_POSITIVE)
    """How long a stop waits for calls under way."""
    discovery_seconds: float = field(default=60.0, validator=_positive, metadata=_POSITIVE)
    """How often hardware is looked for again, beside what plugins report themselves."""
    health_seconds: float = field(default=5.0, validator=_positive, metadata=_POSITIVE)
    """How often backends are asked for health."""
    fault_steady_seconds: float = field(default=300.0, validator=_positive, metadata=_POSITIVE)
    """How long a fault that may come back must not have been seen before it is over."""
    log_level: str = field(default="info", validator=_one_of(LOG_LEVELS), metadata=_LOG_LEVEL)
    """debug, info, warning or error."""
    log_format: str = field(default="text", validator=_one_of(LOG_FORMATS), metadata=_LOG_FORMAT)
    """text or json: one line per event either way."""
    healthcheck_port: int = field(default=0, validator=_port, metadata=_PORT)
    """Where liveness and readiness are served over HTTP; 0 or less: nowhere."""
    metrics_port: int = field(default=0, validator=_port, metadata=_PORT)
    """Where Prometheus metrics are served over HTTP; 0 or less: nowhere."""
    kubelet_pod_resources_socket: Path = field(
        default=Path("/var/lib/kubelet/pod-resources/kubelet.sock"), converter=Path
    )
    """Where the kubelet says which pods use which devices; it may be missing."""
    list_attributes: bool = False
    """Whether attributes may be lists: before the feature is on in the whole cluster, it refuses them."""

    def require_node_name(self) -> str:
        """The node's name. Raises ConfigError without one."""
        if not self.node_name:
            raise ConfigError("nodeName is not set; set NODE_NAME, in a pod from the downward API (spec.nodeName)")
        return self.node_name


def read_settings(
    path: Path | None, environment: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings. `path` defaults to DRAKIT_CONFIG; without either there is only the environment.

    `overrides` are values by field name, as flags give them. Raises ConfigError, naming file, key and remedy.
    """
    if path is None and environment.get(CONFIG_VARIABLE):
        path = Path(environment[CONFIG_VARIABLE])
    text, where = "", "settings"
    if path is not None:
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"cannot read the configuration {path}: it is not text in UTF-8") from None
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror or error}") from None
    return parse_settings(text, where, environment, overrides)


def parse_settings(
    text: str, where: str, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Build settings from YAML text, environment and overrides. Raises ConfigError."""
    documents = load_yaml(text, where)
    if len(documents) > 1:
        raise ConfigError(f"{where}: has {len(documents)} YAML documents; give one")
    document = documents[0] if documents else {"apiVersion": API_VERSION, "kind": KIND}
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: must be a mapping")
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.pop(key, None) != expected:
            raise ConfigError(f"{where}: {key} must be {expected!r}")
    document |= _from_environment(environment or {})
    document |= {camel(name): value for name, value in (overrides or {}).items()}
    settings = structure(Settings, document, f"{where}:")
    _check_backends(settings.backends, where)
    return settings


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that have a variable, and one that is not empty."""
    found: dict[str, Any] = {}
    kinds = {a.name: type(a.default) for a in attrs.fields(Settings)}
    for name, variable in VARIABLES.items():
        if text := environment.get(variable, ""):
            parse, what = _PARSERS.get(kinds[name], (str, "text"))
            try:
                found[camel(name)] = parse(text)
            except (ValueError, KeyError):
                raise ConfigError(f"environment variable {variable} must be {what}, not {text!r}") from None
    return found


_PARSERS: Mapping[type, tuple[Callable[[str], Any], str]] = {
    float: (float, "a number"),
    int: (int, "an integer"),
    bool: (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
}


def _check_backends(backends: Sequence[BackendSettings], where: str) -> None:
    drivers = Counter(backend.driver for backend in backends if backend.driver)
    for driver, times in drivers.items():
        if times > 1:
            raise ConfigError(f"{where}: driver {driver!r} is configured {times} times; a driver is served once")
    plain = Counter(backend.plugin for backend in backends if not backend.driver)
    for plugin, times in plain.items():
        if times > 1:
            raise ConfigError(
                f"{where}: plugin {plugin!r} is enabled {times} times with its default driver; give each its `driver`"
            )


def decode_options(kind: type | None, options: Mapping[str, Any], where: str) -> Any:
    """Decode a plugin's options into its declared class. Raises ConfigError; None for a plugin without options."""
    if kind is None:
        if options:
            raise ConfigError(f"{where}: takes no options; remove {', '.join(map(repr, options))}")
        return None
    return structure(kind, dict(options), where)


def check_directories(settings: Settings) -> None:
    """Raise ConfigError unless the kubelet's two directories are there."""
    for key, path in (
        ("kubelet_registrar_directory_path", settings.kubelet_registrar_directory_path),
        ("kubelet_plugins_directory_path", settings.kubelet_plugins_directory_path),
    ):
        if not path.is_dir():
            raise ConfigError(
                f"the kubelet's directory {path} does not exist; mount it at the same path as on the host, or set "
                f"{camel(key)} ({VARIABLES[key]})"
            )


def make_directory(path: Path) -> Path:
    """Make the directory of a driver, if it is not there. Raises ConfigError."""
    try:
        path.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the driver's directory {path} cannot be made: {error.strerror}") from None
    return path

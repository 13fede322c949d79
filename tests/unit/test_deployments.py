"""The units of systemd and the manifests of Kubernetes keep the promises of the compose file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.settings import FIELDS, FROM_FILE, variable

OPS = Path(__file__).parents[2] / "ops"
UNITS = sorted((OPS / "systemd").glob("*.service"))
MANIFESTS = sorted((OPS / "kubernetes").glob("*.yaml"))
DOCUMENTS = [each for file in MANIFESTS for each in yaml.safe_load_all(file.read_text("utf-8"))]
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in DOCUMENTS
    if each["kind"] in {"Deployment", "Job"}
}
URLS = {
    "worker": "database_url_worker", "worker-feeds": "database_url_worker",
    "worker-crawls": "database_url_worker", "beat": "database_url_worker",
    "web": "database_url_web", "migrate": "database_url",
}  # fmt: skip

KEYS = {
    "allowPrivilegeEscalation", "apiVersion", "args", "automountServiceAccountToken",
    "backoffLimit", "capabilities", "command", "configMapRef", "containerPort", "containers",
    "cpu", "data", "defaultMode", "drop", "emptyDir", "enableServiceLinks", "env", "envFrom",
    "exec", "failureThreshold", "from", "fsGroup", "httpGet", "image", "ingress", "items", "key",
    "kind", "labels", "limits", "livenessProbe", "matchLabels", "maxSurge", "maxUnavailable",
    "medium", "memory", "metadata", "mountPath", "name", "path", "periodSeconds", "podSelector",
    "policyTypes", "port", "ports", "protocol", "readOnly", "readOnlyRootFilesystem",
    "readinessProbe", "replicas", "requests", "resources", "restartPolicy", "rollingUpdate",
    "runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile", "secret", "secretName",
    "securityContext", "selector", "sizeLimit", "spec", "strategy", "targetPort", "template",
    "terminationGracePeriodSeconds", "timeoutSeconds", "ttlSecondsAfterFinished", "type", "value",
    "volumeMounts", "volumes",
}  # fmt: skip


WEB_TOKENS = {"web_token", "web_read_token", "web_scrape_token"}


def secrets_of(name: str) -> dict[str, str]:
    """The file below the folder of secrets that each secret of a service comes from."""
    named = {field: field for field in FROM_FILE if name == "web" or field not in WEB_TOKENS}
    return named | {"database_url": URLS[name]}


def test_every_secret_of_the_settings_has_a_file_here_and_in_compose() -> None:
    """One that a later release adds is missing nowhere; the tokens of the page are its own."""
    compose = yaml.safe_load((OPS.parent / "docker-compose.yml").read_text("utf-8"))["services"]
    for name in URLS:
        service = compose.get(name, compose["worker-feeds"])
        told = {each.removesuffix("_FILE") for each in service["environment"] if "_FILE" in each}
        assert told == {variable(field) for field in secrets_of(name)}, name
        mounted = [
            {each: each} if isinstance(each, str) else {each["target"]: each["source"]}
            for each in service["secrets"]
        ]
        assert {k: v for each in mounted for k, v in each.items()} == secrets_of(name), name


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """A unit's values by section and name; a name may come several times."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, separator, value = line.partition("=")
            assert separator, line
            found[section][name].append(value)
    return found


def test_there_is_a_unit_and_a_manifest_for_each_service() -> None:
    """Worker, beat and web, and the migration before them."""
    assert [path.stem for path in UNITS] == [
        "mirror-beat", "mirror-migrate", "mirror-web", "mirror-worker",
    ]  # fmt: skip
    assert set(PODS) == {f"mirror-{name}" for name in URLS if name != "worker"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_hardened_and_ends_its_work(path: Path) -> None:
    """An ordinary user, nothing to write, secrets as credentials, SIGTERM and time to end."""
    service = unit(path)["Service"]
    for name in (
        "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectKernelTunables",
        "ProtectControlGroups", "RestrictNamespaces", "RestrictSUIDSGID", "LockPersonality",
    ):  # fmt: skip
        assert service[name] == ["yes"], name
    assert service["User"] == ["mirror"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == [""]
    assert service["ProtectSystem"] == ["strict"]
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert service["MemoryMax"]
    assert service["TasksMax"]
    assert service["KillSignal"] == ["SIGTERM"]
    assert int(service["TimeoutStopSec"][0]) >= 15
    name = path.stem.removeprefix("mirror-")
    credentials = dict(each.split(":") for each in service["LoadCredential"])
    assert credentials == {field: f"/etc/mirror/{file}" for field, file in secrets_of(name).items()}
    told = [pair for line in service["Environment"] for pair in line.split()]
    settings = {pair.partition("=")[0] for pair in told} - {
        "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
    }  # fmt: skip
    _are_settings(settings)
    assert {each for each in told if "_FILE=" in each} == {
        f"{variable(field)}_FILE=%d/{field}" for field in credentials
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_read_by_systemd_without_a_complaint(path: Path, tmp_path: Path) -> None:
    """A directive that is misspelt, or has a value it cannot have, is ignored with a warning."""
    for each in UNITS:
        text = each.read_text("utf-8").replace("/opt/mirror/.venv/bin/celery", sys.executable)
        (tmp_path / each.name).write_text(text, "utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in told.stderr.splitlines() if path.name in line] == []


def test_units_wait_for_the_migration_and_come_back() -> None:
    """A service that ended is started again; the order at boot is migrate, then the others."""
    for path in UNITS:
        found = unit(path)
        if path.stem == "mirror-migrate":
            assert found["Service"]["Type"] == ["oneshot"]
            continue
        assert "mirror-migrate.service" in found["Unit"]["After"]
        assert found["Service"]["Restart"] == ["always"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_hardened_and_hides_its_secrets(name: str) -> None:
    """No variable for each service of the namespace, no token, no root, no secret in a variable."""
    pod = PODS[name]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["terminationGracePeriodSeconds"] >= 15
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    told = {each["name"]: each["value"] for each in container["env"]}
    _are_settings(set(told))
    secrets = secrets_of(name.removeprefix("mirror-"))
    assert {each: path for each, path in told.items() if each.endswith("_FILE")} == {
        f"{variable(field)}_FILE": f"/run/secrets/mirror/{file}" for field, file in secrets.items()
    }
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted == {"tmp": "/tmp", "secrets": "/run/secrets/mirror"}  # noqa: S108
    (secret,) = (each["secret"] for each in pod["volumes"] if each["name"] == "secrets")
    assert {f"/run/secrets/mirror/{each['path']}" for each in secret["items"]} == {
        value for variable_, value in told.items() if variable_.endswith("_FILE")
    }


def test_health_in_kubernetes_is_that_of_compose() -> None:
    """A file, not a boot of Celery. Redis away or an older schema is waited for: no probe restarts
    a container for it, as one for the start would too."""
    for name, file in (("worker-feeds", "feeds"), ("worker-crawls", "crawls"), ("beat", "beat")):
        (container,) = PODS[f"mirror-{name}"]["containers"]
        check = ["sh", "-c", f'test -n "$(find /tmp/health/{file} -mmin -1)"']
        assert container["readinessProbe"]["exec"]["command"] == check
        assert not {"livenessProbe", "startupProbe"} & set(container)


def test_selectors_find_their_pods() -> None:
    """A service and a deployment select by labels that their pods have."""
    for each in DOCUMENTS:
        if each["kind"] == "Deployment":
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert each["spec"]["selector"]["matchLabels"] == labels
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (service,) = (each for each in DOCUMENTS if each["kind"] == "Service")
    web = next(each for each in DOCUMENTS if each["metadata"]["name"] == "mirror-web")
    assert service["spec"]["selector"] == web["spec"]["template"]["metadata"]["labels"]


def test_no_key_of_a_manifest_is_misspelt() -> None:
    """Kubernetes drops or refuses a key that it does not know. These have passed its own schemas,
    which the next test asks where their package (108 MB) is installed: do so for a new key."""
    assert {key for each in DOCUMENTS for key in _keys(each)} <= KEYS


def _keys(value: object) -> Iterator[str]:
    """All keys but those of labels, which have a slash, and of settings."""
    if isinstance(value, list):
        for each in value:
            yield from _keys(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if "/" not in key:
                yield key
            if key != "data":
                yield from _keys(each)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_valid_by_kubernetes_own_schema(path: Path) -> None:
    """No key is misspelt; the schemas come with a package, and nothing is fetched."""
    validate = pytest.importorskip("kubernetes_validate")
    documents: list[Any] = list(yaml.safe_load_all(path.read_text("utf-8")))
    for document in documents:
        validate.validate(document, validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ["try-compose.sh", "postgres/roles.sh"])
def test_a_script_can_be_read_by_bash(name: str) -> None:
    """A script that is run rarely is at least without a slip of syntax."""
    subprocess.run(["bash", "-n", str(OPS / name)], check=True)


def _are_settings(names: set[str]) -> None:
    known = {variable(field) for field in FIELDS} - {variable(field) for field in FROM_FILE}
    assert names <= known | {f"{variable(field)}_FILE" for field in FROM_FILE}

"""Lints the files in deploy/, and checks that they agree with each other and with what `export` writes."""

import contextlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format

from tests.helpers import documentation, serving_configs
from tests.helpers.paths import ROOT
from vgg_keras.serving import versions, warmup

DEPLOY = ROOT / "deploy"
NAME, GRPC, REST = "flowers", 8500, 8501
_YAMLLINT = "{extends: default, rules: {line-length: {max: 130}, document-start: disable}}"
LINTERS = {
    "hadolint": ["Dockerfile"],
    "check-jsonschema": ["--builtin-schema", "vendor.compose-spec", "compose.yaml", "compose.batching.yaml"],
    "kubernetes-validate": ["--strict", "kubernetes.yaml"],
    "yamllint": ["--strict", "-d", _YAMLLINT, "."],
    "promtool": ["check", "config", "prometheus.yml"],
}


def text(file):
    return (DEPLOY / file).read_text(encoding="utf-8")


def read_yaml(file):
    return list(yaml.safe_load_all(text(file)))


@pytest.mark.parametrize("tool", LINTERS)
def test_linters_find_nothing(tool):
    path = shutil.which(tool, path=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
    if path is None:
        pytest.skip(f"{tool} is not installed")
    process = subprocess.run([path, *LINTERS[tool]], cwd=DEPLOY, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_configurations_are_messages_of_tensorflow_serving():
    batching = serving_configs.parse("BatchingParameters", text("batching.config"))
    assert batching.max_batch_size.value == 16
    assert batching.batch_timeout_micros.value == 5000
    assert (batching.num_batch_threads.value, batching.max_enqueued_batches.value) == (1, 8)
    monitoring = serving_configs.parse("MonitoringConfig", text("monitoring.config"))
    assert monitoring.prometheus_config.enable
    (scraped,) = yaml.safe_load(text("prometheus.yml"))["scrape_configs"]
    assert monitoring.prometheus_config.path == scraped["metrics_path"]
    assert scraped["static_configs"] == [{"targets": [f"serving:{REST}"]}]
    with pytest.raises(text_format.ParseError, match="nonsense"):
        serving_configs.parse("BatchingParameters", "nonsense { value: 1 }")


def by_default(value):
    """Returns a text of Compose or of a Dockerfile with its variables as they are by default."""
    return re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value).replace("${MODEL_NAME}", NAME).replace("${SERVING_TAG}", TAG)


DOCKERFILE = {kind: re.findall(rf"^{kind} (.+)$", text("Dockerfile"), re.M) for kind in ("ARG", "COPY", "FROM", "CMD")}
TAG = re.search(r"^ARG SERVING_TAG=(\S+)$", text("Dockerfile"), re.M)[1]


def test_all_serve_the_model_that_the_documentation_exports():
    commands = [command for command in documentation.commands() if command.verb == "vgg_keras.export"]
    exported = {flag for command in commands for flag in command.arguments if command.page.parent == DEPLOY}
    assert f"--output_dir=saved_models/{NAME}" in exported
    # Dockerfile and Compose put the folder of versions where the entry point looks: /models/NAME.
    assert f"ARG MODEL_NAME={NAME}" in text("Dockerfile")
    assert f"saved_models/{NAME} /models/{NAME}" in by_default(DOCKERFILE["COPY"][0])
    (compose,) = read_yaml("compose.yaml")
    server = compose["services"]["serving"]
    assert by_default(server["environment"]["MODEL_NAME"]) == NAME
    assert by_default(server["volumes"][0]) == f"../saved_models/{NAME}:/models/{NAME}:ro"
    deployment, service = read_yaml("kubernetes.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert probes == [{"path": f"/v1/models/{NAME}", "port": "rest"}] * 3
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": GRPC, "rest": REST}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports
    assert server["ports"] == [f"127.0.0.1:{port}:{port}" for port in (GRPC, REST)]
    assert f"{NAME}-serving:1" in container["image"]
    assert f"{NAME}-serving:1" in text("Dockerfile")
    assert server["image"] == by_default(DOCKERFILE["FROM"][0]) == f"tensorflow/serving:{TAG}"
    assert f"`tensorflow/serving:{TAG}`" in text("README.md")
    assert warmup.FILE in text("README.md")
    assert warmup.FILE.startswith(versions.EXTRA)


def test_what_the_flags_name_is_put_there():
    (compose,), (batching,) = read_yaml("compose.yaml"), read_yaml("compose.batching.yaml")
    mounted = {volume.split(":")[1]: volume for volume in compose["services"]["serving"]["volumes"]}
    mounted = {target: by_default(volume) for target, volume in mounted.items() if target.startswith("/etc")}
    deployment, _ = read_yaml("kubernetes.yaml")
    commands = [
        *(one["services"]["serving"]["command"] for one in (compose, batching)),
        deployment["spec"]["template"]["spec"]["containers"][0]["args"],
        DOCKERFILE["CMD"],
    ]
    named = {path for command in commands for path in re.findall(r"/etc/serving/[\w.]+", " ".join(command))}
    assert named == {"/etc/serving/monitoring.config", "/etc/serving/batching.config"}
    *copied, folder = DOCKERFILE["COPY"][1].split()
    for path in {*named, "/etc/serving/healthy.sh"}:
        file = Path(path).name
        assert mounted[path] == f"./{file}:{path}:ro"
        assert f"deploy/{file}" in copied
        assert (DEPLOY / file).is_file()
    assert folder == "/etc/serving/"


def test_the_server_has_no_rights():
    (compose,) = read_yaml("compose.yaml")
    server = compose["services"]["serving"]
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
    pod = read_yaml("kubernetes.yaml")[0]["spec"]["template"]["spec"]
    rights = pod["containers"][0]["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == server["user"].split(":")[0] == "1000"
    assert "USER 1000:1000" in text("Dockerfile")


@contextlib.contextmanager
def answering(status, body):
    """Yields the port of a server that answers to the path of the model's status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == f"/v1/models/{NAME}"
            self.send_response(status if found else 404)
            self.end_headers()
            self.wfile.write(body if found else b'{"error": "not found"}')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_health_check():
    def is_healthy(port, name=NAME):
        environment = {"MODEL_NAME": name, "REST_PORT": str(port), "PATH": "/usr/bin:/bin"}
        script = ["bash", str(DEPLOY / "healthy.sh")]
        return subprocess.run(script, env=environment, capture_output=True).returncode == 0

    # As TensorFlow Serving's documentation gives the answers.
    states = b'{"model_version_status": [{"version": "1", "state": "%s", "status": {"error_code": "OK"}}]}'
    with answering(200, states % b"AVAILABLE") as port:
        assert is_healthy(port)
        assert not is_healthy(port, "trees")
    with answering(200, states % b"LOADING") as port:
        assert not is_healthy(port)
    assert not is_healthy(port)  # nobody listens any more

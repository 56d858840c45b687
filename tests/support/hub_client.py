"""minibert.hub and the hub's real client, in a process of their own that tests give orders to.

    with Client(server, cache_folder) as client:
        client.load("tiny/bert")        # any method of Actions; an error of minibert's is raised here

The client reads its environment when it is imported, hence the process: this file run as a script, which takes a line
of JSON for each order and answers in kind.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from minibert import errors, hub

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = {CONFIG: b'{"model_type": "bert"}', WEIGHTS: bytes(range(256)) * 64}
LOADED = [content.decode("latin-1") for content in FILES.values()]  # as `Client.load` gives them


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for filename, content in files.items():
        (folder / filename).write_bytes(content)
    return folder


class Client:
    """The process, and its answers."""

    def __init__(self, server, cache, wrapper=(), stderr=subprocess.DEVNULL, **variables):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
        folders = [str(Path(hub.__file__).parents[1]), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {
            "PYTHONPATH": os.pathsep.join(folders),
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(cache),
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **variables,
        }
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.communicate()

    def send(self, action, *arguments, **options):
        print(json.dumps([action, arguments, options], default=str), file=self.process.stdin, flush=True)

    def receive(self):
        answer = json.loads(self.process.stdout.readline())
        if "raised" in answer:
            error_class = getattr(errors, answer["raised"], None)
            assert error_class, f"{answer['raised']} escaped: {answer['message']}"
            raise error_class(answer["message"])
        return answer["value"]

    def __getattr__(self, action):
        def ask(*arguments, **options):
            self.send(action, *arguments, **options)
            return self.receive()

        return ask


def serve_orders():
    exec(os.environ.get("CLIENT_BEGINS_WITH", ""), {})  # what a test changes of the system
    time.sleep = lambda seconds: None  # between its tries the client waits 23 s
    actions = Actions()
    for line in sys.stdin:
        action, arguments, options = json.loads(line)
        try:
            answer = {"value": getattr(actions, action)(*arguments, **options)}
        except Exception as error:
            answer = {"raised": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)


class Actions:
    """What can be asked of a Client. A file's content goes over as latin-1 text."""

    def locate(self, name, **options):
        self.checkpoint = hub.locate(name, **options)
        return self.checkpoint.commit

    def optional(self, filename):
        path = self.checkpoint.optional(filename)
        return None if path is None else path.read_bytes().decode("latin-1")

    def file(self, filename):
        return self.checkpoint.file(filename).read_bytes().decode("latin-1")

    def has(self, filename):
        return self.checkpoint.has(filename)

    def classify(self, name, text, **options):
        from minibert import pipeline

        return pipeline("text-classification", model=name, **options)(text)

    def load(self, name, **options):
        self.locate(name, **options)
        return [self.file(filename) for filename in FILES]

    def environment(self, **variables):
        os.environ.update(variables)

    def forget(self, *variables):
        for variable in variables:
            del os.environ[variable]

    def limit_file_size(self, size):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def do_without_links(self):
        from huggingface_hub import file_download

        file_download.are_symlinks_supported = lambda *arguments: False

    def has_imported(self, module):
        return module in sys.modules

    def caches(self, environments):
        """Where the client keeps its cache in each environment, and where minibert thinks it does."""
        import importlib

        from huggingface_hub import constants

        folders = []
        for variables in environments:
            for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
                os.environ.pop(variable, None)
            os.environ.update(variables)
            importlib.reload(constants)
            folders.append([constants.HF_HUB_CACHE, str(hub._cache_folder(None))])
        return folders


if __name__ == "__main__":
    serve_orders()

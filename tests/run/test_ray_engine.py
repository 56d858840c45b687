"""`minibert run --engine ray` on real clusters of this machine: same bytes, lost workers, nodes and drivers, refusals."""

import importlib.util
import json
import os
import random
import signal

import pytest
from parts import concatenated, single_machine
from ray_cluster import finish, ray_cluster, ray_environment, start, wait_for, workers

NO_RAY = importlib.util.find_spec("ray") is None  # not imported here: it reads its environment once, and each test has another
pytestmark = [pytest.mark.engines, pytest.mark.skipif(NO_RAY, reason="pip install -e '.[ray]'")]
WORDS = ["a", "bad", "film", "not", "very", "good", "this", "movie", "is", "great", "and", "i", "love", "it", "hate"]


@pytest.fixture(autouse=True)
def environment():
    with ray_environment():
        yield


def write_rows(path, rows, seed=0):
    random.seed(seed)
    with open(path, "w") as file:
        for number in range(rows):
            text = " ".join(random.choices(WORDS, k=random.randint(1, 12)))
            file.write("{\n" if number % 700 == 3 else json.dumps({"id": number, "text": text}) + "\n")
    return path


def num_parts(folder):
    return len(list(folder.glob("part-*.jsonl")))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_ends_with_the_bytes_of_one_machine(count, model, run, tmp_path):
    files = [write_rows(tmp_path / f"{seed}.jsonl", 300, seed) for seed in (1, 2)]
    options = ["--engine", "ray", "--workers", count, "--rows-per-part", 50]
    status, err = finish(start("run", *files, "--model", model, "-o", tmp_path / "out", *options))
    assert status == 0 and err == [f"minibert: 2 rows have no answer; they are in {tmp_path}/out/errors-*.jsonl."]
    assert num_parts(tmp_path / "out") == 12
    assert concatenated(tmp_path / "out") == single_machine(run, files, ["--model", model], tmp_path)


def test_a_run_that_loses_a_worker_a_node_and_its_driver_ends_with_the_bytes_of_one_machine(model, run, tmp_path):
    path, out = write_rows(tmp_path / "in.jsonl", 20_000), tmp_path / "out"
    command = ["run", path, "--model", model, "-o", out, "--engine", "ray", "--workers", 2, "--rows-per-part", 200, "--resume"]
    with ray_cluster() as cluster:
        command += ["--address", cluster.address]
        driver = start(*command)

        def wait_for_parts(count):
            assert wait_for(lambda: num_parts(out) >= count or driver.poll() is not None) and driver.poll() is None

        wait_for_parts(5)
        os.kill(workers()[0], signal.SIGKILL)
        wait_for_parts(num_parts(out) + 10)
        cluster.kill_node(2)
        wait_for_parts(num_parts(out) + 10)
        driver.kill()
        driver.communicate()
        left = num_parts(out)
        assert 25 <= left < 100
        cluster.add_node()
        status, err = finish(start(*command))
        assert status == 0 and "29 rows have no answer" in err[0]
        status, err = finish(start(*command))
        assert status == 0 and "is complete already" in err[0]
    assert num_parts(out) == 100
    assert concatenated(out) == single_machine(run, [path], ["--model", model], tmp_path)


@pytest.mark.parametrize("signal_number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(signal_number, status, model, tmp_path):
    path, out = write_rows(tmp_path / "in.jsonl", 20_000), tmp_path / "out"
    child = start("run", path, "--model", model, "-o", out, "--engine", "ray", "--workers", 1, "--rows-per-part", 100)
    assert wait_for(lambda: num_parts(out) >= 3)
    child.send_signal(signal_number)
    code, err = finish(child)
    assert code == status and "parts are done. Run the same command with --resume to continue." in err[-1]


def test_slots_are_counted_before_the_start(model, tmp_path):
    path = write_rows(tmp_path / "in.jsonl", 50)
    command = ["run", path, "--model", model, "-o", tmp_path / "out", "--engine", "ray"]
    with ray_cluster() as cluster:
        command += ["--address", cluster.address]
        status, err = finish(start(*command, "--workers", 3))
        assert status == 1 and "there is room for 2 workers; --workers is 3. The nodes have 1, 1 CPUs." in err[0]
        status, err = finish(start(*command, "--cpus-per-worker", 2))
        assert status == 1 and "there is room for 0 workers" in err[0]
        status, err = finish(start(*command, env={"RAY_AUTH_TOKEN": "0" * 32}))
        assert status == 1 and "Ray cannot be reached" in err[0] and "RAY_AUTH_TOKEN" in err[0]


def test_a_worker_on_another_processor_is_refused_or_pinned(model, tmp_path):
    path = write_rows(tmp_path / "in.jsonl", 200)
    command = ["run", path, "--model", model, "--engine", "ray", "--rows-per-part", 10]
    with ray_cluster(nodes=1) as cluster:
        cluster.add_node({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""})
        command += ["--address", cluster.address]
        status, err = finish(start(*command, "-o", tmp_path / "refused"))
        assert status == 1 and "other instructions" in err[0] and "MINIBERT_ISA" in err[0]
        status, err = finish(start(*command, "-o", tmp_path / "pinned", env={"MINIBERT_ISA": "sse2"}))
        assert status == 0
    assert num_parts(tmp_path / "pinned") == 20

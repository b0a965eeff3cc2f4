"""The command rawconv-explore and rawconv.explore: a server that starts, answers and ends."""

import builtins
import contextlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from exploring import png_of
from PIL import Image
from test_visualize_cli import small_net

import rawconv
from rawconv import checkpoint
from rawconv.cli.explore import PATIENCE, main
from rawconv.explore import serve

ROOT = pathlib.Path(__file__).parent.parent
httpx = pytest.importorskip("httpx", reason="a client is needed: pip install httpx")
pytest.importorskip("starlette", reason="the explorer needs Starlette: pip install starlette")
pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")


@pytest.fixture
def net_file(tmp_path):
    checkpoint.save(tmp_path / "w.h5", small_net(), {})
    return tmp_path / "w.h5"


@contextlib.contextmanager
def started(*words, cwd):
    """(the address that rawconv-explore prints, its process)."""
    command = [sys.executable, "-m", "rawconv.cli.explore", "--no-browser", *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.posix
def test_it_prints_its_address_answers_and_ends_by_ctrl_c(tmp_path, net_file):
    (tmp_path / "cat.png").write_bytes(png_of())
    with started("--weights", net_file, tmp_path / "cat.png", cwd=tmp_path) as (url, process):
        assert url.startswith("http://127.0.0.1:")
        told = httpx.get(f"{url}api/net", timeout=60).json()
        (picture,) = told["pictures"]
        about = httpx.get(f"{url}api/pictures/{picture}", timeout=60).json()
        assert about["name"] == "cat.png" and told["weights"] == "w.h5" and told["run"] is None
        port = int(url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 60) as sock:
            sock.sendall(b"no request\r\n\r\n")
            assert b" 400 " in sock.recv(1 << 16)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and err.splitlines()[-1] == "Interrupted."
        assert "Traceback" not in err and "Invalid HTTP" not in err  # which fills no terminal
    assert not (tmp_path / "runs").exists()


@pytest.mark.posix
def test_what_a_signal_cuts_off_prints_no_error(tmp_path):
    (tmp_path / "cat.png").write_bytes(png_of())
    with started(tmp_path / "cat.png", cwd=tmp_path) as (url, process):
        (picture,) = httpx.get(f"{url}api/net", timeout=60).json()["pictures"]
        asked = {"picture": picture, "size": 8, "stride": 1, "class": 0}
        with httpx.Client(timeout=60) as client, client.stream(
            "POST", f"{url}api/heatmap", json=asked
        ) as told:  # fmt: skip
            assert '"total": 4096' in next(told.iter_lines())  # thousands of positions are left
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and err.splitlines()[-1] == "Terminated."
    assert "Traceback" not in err and "ERROR" not in err


def test_a_token_and_a_port_are_taken_as_given(tmp_path, net_file):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--weights", net_file, "--port", port, "--token", "right-word")
    with started(*words, cwd=tmp_path) as (url, _):
        assert url == f"http://127.0.0.1:{port}/?token=right-word"
        assert httpx.get(f"http://127.0.0.1:{port}/api/net", timeout=60).status_code == 403
        with httpx.Client(timeout=60, follow_redirects=True) as client:
            assert client.get(url).status_code == 200
            assert client.get(f"http://127.0.0.1:{port}/api/net").status_code == 200


def test_a_killed_server_leaves_its_port_to_the_next(tmp_path, net_file):
    with started("--weights", net_file, cwd=tmp_path) as (url, process):
        with httpx.Client(timeout=60) as client:
            assert client.get(f"{url}api/net").status_code == 200
            process.kill()
            process.wait()
            with pytest.raises(httpx.TransportError):
                client.get(f"{url}api/net")
        port = int(url.rstrip("/").rpartition(":")[2])
        with started("--weights", net_file, "--port", port, cwd=tmp_path) as (again, _):
            assert again == url and httpx.get(f"{again}api/net", timeout=60).status_code == 200


@pytest.mark.parametrize("words, environment, opens", [
    ([], {"DISPLAY": ":0"}, True),
    ([], {"WAYLAND_DISPLAY": "wayland-0"}, True),
    ([], {"BROWSER": "firefox"}, True),
    (["--no-browser"], {"DISPLAY": ":0"}, False),
    ([], {}, False),  # a server without a screen: xdg-open would fill the terminal with complaints
])  # fmt: skip
def test_a_browser_opens_where_there_is_a_screen(words, environment, opens, monkeypatch):
    opened = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("click.launch", opened.append)
    monkeypatch.setattr(
        serve, "run", lambda load, sock, access, there, patience: opened.append(patience) or there()
    )
    result = CliRunner().invoke(main, words)
    url = result.output.strip()
    assert result.exit_code == 0 and url.startswith("http://127.0.0.1:")
    assert opened == ([PATIENCE, url] if opens else [0])


@pytest.mark.parametrize("words, sentence", [
    (["--host", "0.0.0.0"], "lets other machines in, and needs --token"),
    (["--token", "short"], "--token is 8 or more letters"),
    (["--token", "with blank and more"], "--token is 8 or more letters"),
    (["--weights", "nowhere.h5"], "nowhere.h5"),
    (["nowhere.png"], "There is no picture nowhere.png"),
    (["empty"], "empty holds no last.h5"),
    (["run", "--weights", "w.h5"], "are two nets"),
    (["--port", "70000"], "--port"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(words, sentence, tmp_path, net_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.h5").write_bytes(net_file.read_bytes())
    result = CliRunner().invoke(main, [*words, "--no-browser"])
    assert result.exit_code == 2 and sentence in result.stderr
    assert result.stderr.count("Error") == 1 and "Traceback" not in result.output


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def lacking(name, *rest, **options):
        if name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", lacking)
    result = CliRunner().invoke(main, ["--no-browser"])
    assert result.exit_code == 1 and "pip install 'rawconv[explore]'" in result.stderr
    assert result.stderr.count("\n") == 1
    with pytest.raises(rawconv.errors.RawconvError, match=r"rawconv\[explore\]"):
        rawconv.explore(small_net())


def test_a_port_that_is_in_use_is_passed_over_unless_it_was_named():
    with serve.bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(rawconv.errors.RawconvError, match=f"Port {port} of 127.0.0.1"):
            serve.bind("127.0.0.1", port)
    with serve.bind("127.0.0.1", None) as first, serve.bind("127.0.0.1", None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
    with pytest.raises(rawconv.errors.UsageError, match="no address of this machine"):
        serve.bind("no such host.invalid", None)


def test_small_answers_are_sent_at_once():
    """asyncio sets TCP_NODELAY on connections of sockets that say they are TCP; without, each waits
    40 ms for the client's acknowledgement.
    """
    with serve.bind("127.0.0.1", None) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_a_notebook_shows_the_page_in_a_frame_and_closes_it():
    net, content = small_net(), png_of()
    with rawconv.explore(net, Image.open(io.BytesIO(content))) as explorer:
        assert explorer.url in repr(explorer)
        shown = explorer._repr_html_()
        assert f'<iframe src="{explorer.url}"' in shown
        page = httpx.get(explorer.url, timeout=60)
        assert "frame-ancestors" not in page.headers["content-security-policy"]
        (picture,) = httpx.get(f"{explorer.url}api/net", timeout=60).json()["pictures"]
        asked = {"picture": picture, "unit": "conv2:5"}
        sent = httpx.get(f"{explorer.url}api/project.npy", params=asked, timeout=60).content
        wanted = rawconv.project(net, Image.open(io.BytesIO(content)), "conv2:5")
        assert np.array_equal(np.load(io.BytesIO(sent)), wanted)
    with pytest.raises(httpx.TransportError):
        httpx.get(explorer.url)
    explorer.close()
    with pytest.raises(rawconv.errors.UsageError, match="is no picture"):
        rawconv.explore(net, 3)


def test_two_browsers_at_once_get_each_their_own():
    net = small_net()
    pictures = [np.asarray(Image.open(io.BytesIO(png_of(seed)))) for seed in (1, 2)]
    answers, wanted = {}, [rawconv.project(net, picture, "conv2:5") for picture in pictures]

    def browse(number, url, picture):
        with httpx.Client(timeout=60) as client:
            for _ in range(20):
                asked = {"picture": picture, "unit": "conv2:5"}
                headers = {"X-Slot": f"{number}/project"}
                sent = client.get(f"{url}api/project.npy", params=asked, headers=headers)
                answers.setdefault(number, []).append(np.load(io.BytesIO(sent.content)))

    with rawconv.explore(net, pictures) as explorer:
        ids = httpx.get(f"{explorer.url}api/net", timeout=60).json()["pictures"]
        threads = [
            threading.Thread(target=browse, args=(number, explorer.url, picture))
            for number, picture in enumerate(ids)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    for number in range(2):
        assert len(answers[number]) == 20
        assert all(np.array_equal(answer, wanted[number]) for answer in answers[number])

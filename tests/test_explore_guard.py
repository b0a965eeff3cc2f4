"""Who may ask the explorer's server, and what it does with requests that nobody should send."""

import gc
import json
import pathlib
import random
import threading
import tracemalloc

import pytest
from exploring import PORT, client_of, png_of

HOST = f"127.0.0.1:{PORT}"
CHANGES = (
    "\x00",
    "..",
    "/",
    "%2e%2e%2f",
    "é",
    "\ud800",
    "{",
    "9" * 400,
    "-1",
    "1e99",
    "NaN",
    "*",
    ":",
    "",
)


@pytest.fixture(scope="module")
def client(session):
    with client_of(session, raise_server_exceptions=False) as client:
        yield client


def test_every_answer_has_the_policy(client):
    for path in ("/", "/static/nothing.js", "/api/net", "/api/nothing", "/page/elements.js"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "", f"{HOST}.x"]
)
def test_another_host_is_refused(client, host):
    for path in ("/", "/api/net"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403 and "own address" in answer.json()["error"]
    assert client.get("/api/net", headers={"host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": f"https://{HOST}"},
    {"origin": "http://127.0.0.1:1"}, {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
])  # fmt: skip
def test_a_page_from_elsewhere_is_refused(client, session, headers):
    held = len(session.pictures._brought)
    sent = client.post("/api/pictures", content=png_of(77), headers=headers)
    assert sent.status_code == 403 and "Another site" in sent.json()["error"]
    assert client.get("/api/net", headers=headers).status_code == 403
    assert len(session.pictures._brought) == held


def test_the_own_page_and_a_link_to_it_are_let_in(client):
    own = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    assert client.post("/api/pictures", content=png_of(), headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/api/net", headers=link).status_code == 403


def test_a_token_is_asked_for_once(session):
    with client_of(session, token="right-word") as client:
        for path in ("/", "/api/net", "/?token=wrong-word", "/?token=", "/?" + "token=x&" * 30):
            assert client.get(path).status_code == 403, path
        assert client.post("/?token=right-word").status_code == 403
        bearer = {"authorization": "Bearer right-word"}
        assert client.get("/api/net", headers=bearer).status_code == 200
        entered = client.get("/?token=right-word&unit=conv2%3A5", follow_redirects=False)
        assert entered.status_code == 303 and entered.headers["location"] == "/?unit=conv2%3A5"
        assert "HttpOnly" in entered.headers["set-cookie"]
        assert client.get("/api/net").status_code == 200  # the client keeps the cookie


@pytest.mark.parametrize("path", [
    "/static/../session.py", "/static/..%2Fsession.py", "/static/%2e%2e/session.py", "/static/session.py", "/page/",
    "/static/%00", "/static/__init__.py", "/page/../html.py", "/api/pictures/..%2F..%2Fetc%2Fpasswd",
    "/api/browse/val/..%2F1.png", "/api/browse/..%2Fval/1.png", "/api/pictures/%2Fetc%2Fpasswd/image.png",
])  # fmt: skip
def test_no_path_from_outside_is_opened(client, path, monkeypatch):
    opened, read = [], pathlib.Path.read_bytes

    def noted(self):
        if not threading.current_thread().name.startswith("rawconv-explore"):  # which loads loops
            opened.append(self.name)
        return read(self)

    monkeypatch.setattr(pathlib.Path, "read_bytes", noted)
    assert client.get(path).status_code in (404, 400)
    assert not opened


def test_what_is_too_large_is_refused_before_it_is_held(client, monkeypatch):
    from rawconv.explore import routes

    monkeypatch.setattr(routes, "UPLOAD_BYTES", 4096)
    assert client.post("/api/pictures", content=b"x" * 5000).status_code == 413
    assert client.post("/api/pictures", content=iter([b"x" * 1000] * 5)).status_code == 413
    assert client.post("/api/project", content=b"[" * (65 << 10)).status_code == 413
    assert client.post("/api/project", content=b"[" * (60 << 10)).status_code == 400


def test_a_file_that_is_no_picture_is_told_in_a_sentence(client):
    for content in (
        b"",
        b"GIF89a",
        png_of()[:100],
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\x89PNG\r\n\x1a\n" * 9,
    ):
        answer = client.post("/api/pictures", content=content)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("This file is not a picture that can be read")


def test_a_name_from_outside_is_shown_as_text(client):
    name = "%3Cscript%3E%00%1b[31m%0a" + "x" * 900
    about = client.post("/api/pictures", content=png_of(), headers={"X-Name": name}).json()
    assert about["name"].isprintable() and len(about["name"]) <= 400


VALUES = {
    "picture": ["val:3", "val:99999999999", "x", "test:0"],
    "unit": [
        "conv1:3",
        "conv2:5:1:2",
        "scores:1",
        "conv9:1",
        "conv2:9999",
        "conv2:1:99:0",
        "4",
        ":::",
        "",
    ],
    "relu": ["deconv", "guided", "other"],
    "control": [None, "untrained", "cascade-99", "no"],
    "layer": ["conv2", "", "nothing"],
    "channel": [0, -1, 1 << 40, "2", None, 1.5],
    "split": ["val", "none"],
    "number": [1, "x", -4],
    "count": [9, 0, 10**30],
}
PATHS = [
    "/api/project", "/api/steps", "/api/likes", "/api/pictures", "/api/pictures/data", "/api/nothing", "/",
    "/api/pictures/val:1/maps", "/api/pictures/val:1/maps.png", "/api/project.npy", "/api/browse",
    "/api/browse/val/2.png", "/api/pictures/val:2", "/api/pictures/val:x/image.png", "/api/run", "/api/run/events",
]  # fmt: skip
METHODS = ["GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]


def malformed(rng, picture):
    """A request that a hostile page might send: (method, path, options of the client)."""
    question = {key: rng.choice(values) for key, values in VALUES.items()}
    question["picture"] = rng.choice([picture, question["picture"]])
    for _ in range(rng.randrange(3)):  # something else in the place of a value
        key = rng.choice(list(question))
        question[key] = rng.choice([*CHANGES, [], {}, None, True, 10**40, [[question[key]]]])
    content = json.dumps(question).encode()
    if rng.random() < 0.4:  # a few bytes changed, cut off or doubled
        content = bytearray(content)
        for _ in range(rng.randrange(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        content = bytes(content[: rng.randrange(len(content) + 1)]) * rng.choice([1, 1, 2])
    path, params = rng.choice(PATHS), None
    if rng.random() < 0.2:
        place = rng.randrange(1, len(path) + 1)
        inserted = rng.choice(["%00", "..", "%2F", "//", "%", "%ff", ":", "?"])
        path = path[:place] + inserted + path[place:]
    if rng.random() < 0.5:
        params = {key: str(value).encode("utf-8", "replace") for key, value in question.items()}
    kind = rng.choice(["application/json", "text/html", "multipart/form-data"])
    headers = {"x-slot": rng.choice(["", "a/b", "x" * 5000]), "content-type": kind}
    return rng.choice(METHODS), path, {"content": content, "headers": headers, "params": params}


def test_a_thousand_malformed_requests_leave_it_as_it_was(client, caplog):
    rng = random.Random(7)
    picture = client.post("/api/pictures", content=png_of()).json()["id"]
    asked = {"picture": picture, "unit": "conv2:5"}
    before, codes = client.post("/api/project", json=asked).json(), set()
    for number in range(1000):
        method, path, options = malformed(rng, picture)
        answer = client.request(method, path, **options)
        codes.add(answer.status_code)
        assert answer.status_code < 500, (number, method, path, options, answer.text)
        assert "Traceback" not in answer.text and ".py" not in answer.text
        if answer.status_code >= 400 and method != "HEAD":
            sentence = answer.json()["error"]
            assert sentence.endswith(".") and len(sentence) < 2000, sentence
    assert codes >= {200, 400, 404, 405}
    after = client.post("/api/project", json=asked).json()
    assert before | {"rank": None} == after | {"rank": None}


def test_memory_stays_flat_over_many_pictures(session, request):
    """Python's and NumPy's own: after the caches are full, another picture takes what one leaves."""
    count = 1000 if request.config.getoption("--long") else 60
    session._passes.most, session.pictures._brought.most = 256 << 10, 32 << 10
    with client_of(session) as client:

        def look(seed):
            about = client.post("/api/pictures", content=png_of(seed)).json()
            asked = {"picture": about["id"], "unit": "conv2:5"}
            assert client.post("/api/project", json=asked).status_code == 200

        tracemalloc.start()
        try:
            for seed in range(30):
                look(seed)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for seed in range(30, 30 + count):
                look(seed)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert session._passes.used <= 256 << 10 and session.pictures._brought.used <= 32 << 10
    # what the client itself keeps of a request is less; a picture that stayed would be 2 KB
    more = after - before
    assert more < (60 << 10) + 300 * count, f"{more >> 10} KB more after {count} pictures"

"""The HTTP client of tools: what it refuses to reach, to follow, to wait for and to read, over real sockets."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpcore2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from patter.errors import ConfigError
from patter.testing.emulators.serving import Serving
from patter.tools.addresses import check_url, is_public
from patter.tools.http_messages import HttpAnswer, HttpFailure, HttpRequest
from patter.tools.safe_http import MAX_BYTES, SafeHttp

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
Answer = Callable[[Request], Awaitable[Response]]


class Site:
    """A server on this machine that remembers who came."""

    def __init__(self, answer: Answer | Response) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self.place = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.requests.append(request)
        response = self._answer if isinstance(self._answer, Response) else await self._answer(request)
        await response(scope, receive, send)

    @property
    def port(self) -> int:
        return int(self.place.rpartition(":")[2])


@asynccontextmanager
async def serving(answer: Answer | Response) -> AsyncIterator[tuple[Site, SafeHttp]]:
    """A site, and a client that may reach it."""
    site = Site(answer)
    async with Serving(site) as origin:
        site.place = origin.removeprefix("http://")
        http = SafeHttp(allow_hosts=[site.place])
        try:
            yield site, http
        finally:
            await http.aclose()


class Network(httpcore2.AsyncNetworkBackend):
    """The Internet: every address leads to one port of this machine, and is written down."""

    def __init__(self, port: int, dead: Collection[str] = ()) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.names: list[str | None] = []
        self._port = port
        self._dead = dead
        self._real = httpcore2.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host in self._dead:
            raise httpcore2.ConnectError("dead")
        stream = await self._real.connect_tcp("127.0.0.1", self._port)
        return Stream(stream, self.names)


class Stream(httpcore2.AsyncNetworkStream):
    """Writes down the name whose certificate TLS would ask for, and goes on without TLS."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, names: list[str | None]) -> None:
        self._inner = inner
        self._names = names
        self.read = inner.read  # type: ignore[method-assign]
        self.write = inner.write  # type: ignore[method-assign]
        self.aclose = inner.aclose  # type: ignore[method-assign]

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **__: Any
    ) -> httpcore2.AsyncNetworkStream:
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        self._names.append(server_hostname)
        return self


class Names:
    """A name server that gives another answer each time; the last one for ever."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self.asked: list[str] = []
        self._answers = [list(answer) for answer in answers]

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


async def get(http: SafeHttp, url: str, *headers: tuple[str, str], timeout_s: float = 5.0) -> HttpAnswer:
    return await http.request(HttpRequest("GET", url, headers), timeout_s=timeout_s)


async def failing(http: SafeHttp, url: str, *headers: tuple[str, str], timeout_s: float = 5.0) -> HttpFailure:
    with pytest.raises(HttpFailure) as failed:
        await get(http, url, *headers, timeout_s=timeout_s)
    return failed.value


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.0.1"),
        *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1"),
        *(
            "fe80::1%eth0",
            "2606:4700::1111%1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "2001::1",
            "5f00::1",
        ),
        # IPv4 in NAT64 (well known and local), in 6to4, and Teredo, whose client is written inverted.
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("2001:0:808:808:0:0:80ff:fffe", "2001:0:808:808::f7f7:f7f7"),
        *("127.1", "0x7f.1", "2130706433", "localhost", ""),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", PUBLIC, "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.255.255.255"),
        *("2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


HOSTILE = [
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f000001:{port}/",
    "http://017700000001:{port}/",
    "http://2130706433:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[fd00::1]:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://100.64.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://metadata.google.internal./",
    "http://127。0。0。1:{port}/",
    "HTTP://LOCALHOST:{port}/",
]
WRONG = [
    "http://user:word@api.example.com/",
    "http://api.example.com/a b",
    "http://api.example.com/\\..\\b",
    "http://api.example.com@127.0.0.1:{port}/",
    "http://api.example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://①②⑦.0.0.1:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[::1:{port}/",
    "http://api.example.com:0/",
    "http://api.example.com:99999/",
    "http://127.0.0.1:{port} /",
    "http://127.0.0.1\r\n:{port}/",
    "http:///path",
    "http://a..b/",
    "//127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "unix:///var/run/docker.sock",
    "javascript:alert(1)",
    "",
]


async def as_the_system(host: str, port: int) -> list[str]:
    """What a system makes of the spellings of an address, without asking anybody."""
    name = host.removesuffix(".")
    if name == "localhost":
        return ["127.0.0.1"]
    if name == "metadata.google.internal":
        return ["169.254.169.254"]
    return [socket.inet_ntoa(socket.inet_aton(name))]


@pytest.mark.parametrize("spelling", HOSTILE)
async def test_no_spelling_of_a_private_address_is_dialled(spelling: str) -> None:
    network = Network(1)
    failure = await failing(SafeHttp(resolve=as_the_system, network=network), spelling.format(port=9000))
    assert failure.kind == "refused"
    assert "allow_hosts" in str(failure)
    assert network.dialled == []


async def test_no_spelling_of_a_private_address_is_reached() -> None:
    async with serving(PlainTextResponse("secret")) as (site, _):
        for http in (SafeHttp(), SafeHttp(resolve=as_the_system)):
            for spelling in HOSTILE:
                # The tests' own guard answers for names that the system would read as addresses.
                assert (await failing(http, spelling.format(port=site.port))).kind in ("refused", "connect")
        assert site.requests == []


@pytest.mark.parametrize("spelling", WRONG)
async def test_what_is_no_address_is_not_dialled(spelling: str) -> None:
    network = Network(1)
    failure = await failing(SafeHttp(resolve=Names([PUBLIC]), network=network), spelling.format(port=9000))
    assert (failure.kind, network.dialled) == ("refused", [])
    assert "word" not in str(failure).replace("password", "")


@pytest.mark.parametrize(
    "spelling", [*HOSTILE, *WRONG, "http://db:5432/", "http://printer.local/", "https://{{host}}/"]
)
def test_an_address_is_checked_when_a_tool_is_made(spelling: str) -> None:
    with pytest.raises(ConfigError, match=r"^url: ") as refused:
        check_url(spelling.format(port=9000) if "{port}" in spelling else spelling)
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com:8443/orders/{{id}}?q={{ q }}#x",
        "http://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://münchen.example/",
        "https://internal.example.com/",
    ],
)
def test_addresses_that_a_tool_may_have(url: str) -> None:
    check_url(url)


def test_an_exempt_host_is_exempt_with_its_port_alone() -> None:
    check_url("http://localhost:9000/x", allow_hosts=["localhost:9000"])
    check_url("http://[::1]:9000/x", allow_hosts=["[::1]:9000"])
    for other in ("http://localhost:9001/", "http://localhost/", "http://127.0.0.1:9000/", "http://localhost.:9000/"):
        with pytest.raises(ConfigError, match=r"pass allow_hosts=\['"):
            check_url(other, allow_hosts=["localhost:9000"])


@pytest.mark.parametrize(
    "hosts", [["localhost"], ["http://localhost:9000"], ["*:80"], ["a:b"], [":80"], "a:80", ["[x]:1"]]
)
def test_what_is_no_exempt_host(hosts: Any) -> None:
    with pytest.raises(ConfigError, match="allow_hosts"):
        SafeHttp(allow_hosts=hosts)


async def test_an_exempt_host_is_reached() -> None:
    async with serving(PlainTextResponse("hello")) as (site, http):
        answer = await get(http, f"http://{site.place}/a/b?c=d", ("X-One", "ü"), ("X-One", "2"))
        assert (answer.status, answer.is_success, answer.value()) == (200, True, "hello")
        (request,) = site.requests
        assert (request.url.path, request.url.query) == ("/a/b", "c=d")
        assert [value.encode("latin-1").decode() for value in request.headers.getlist("x-one")] == ["ü", "2"]
        assert (await failing(http, f"http://localhost:{site.port}/")).kind == "refused"


async def test_one_private_address_of_a_name_is_enough_to_refuse_it() -> None:
    async with serving(PlainTextResponse("secret")) as (site, _):
        for addresses in ([PUBLIC, "127.0.0.1"], ["::1", PUBLIC], ["nonsense"]):
            network = Network(site.port)
            http = SafeHttp(resolve=Names(addresses), network=network)
            assert (await failing(http, "http://rebind.example/")).kind == "refused"
            assert network.dialled == []


async def test_a_name_that_changes_its_address_gains_nothing() -> None:
    async with serving(PlainTextResponse("hello", headers={"connection": "close"})) as (site, _):
        names, network = Names([PUBLIC], ["127.0.0.1"]), Network(site.port)
        http = SafeHttp(resolve=names, network=network)
        assert (await get(http, "http://rebind.example/")).value() == "hello"
        # The name was asked once: what was checked is what was dialled, and the name is still what the server is told.
        assert (names.asked, network.dialled) == (["rebind.example"], [(PUBLIC, 80)])
        assert site.requests[0].headers["host"] == "rebind.example"
        assert (await failing(http, "http://rebind.example/")).kind == "refused"
        assert len(network.dialled) == 1
        await http.aclose()


async def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    async with serving(PlainTextResponse("hello")) as (site, _):
        network = Network(site.port)
        http = SafeHttp(resolve=Names([PUBLIC]), network=network)
        assert (await get(http, "https://api.example.com:8443/")).value() == "hello"
        assert (network.dialled, network.names) == ([(PUBLIC, 8443)], ["api.example.com"])
        assert site.requests[0].headers["host"] == "api.example.com:8443"
        await http.aclose()


async def test_the_next_address_is_tried_if_one_is_dead() -> None:
    async with serving(PlainTextResponse("hello")) as (site, _):
        network = Network(site.port, dead=["2606:4700::1111"])
        http = SafeHttp(resolve=Names(["2606:4700::1111", PUBLIC]), network=network)
        assert (await get(http, "http://api.example.com/")).value() == "hello"
        assert [address for address, _ in network.dialled] == ["2606:4700::1111", PUBLIC]
        await http.aclose()


async def test_redirects_are_answers() -> None:
    async with serving(RedirectResponse("http://169.254.169.254/")) as (site, http):
        answer = await get(http, f"http://{site.place}/")
        assert (answer.status, answer.is_success, len(site.requests)) == (307, False, 1)


async def test_the_environment_and_cookies_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(PlainTextResponse("hello", headers={"set-cookie": "session=1"})) as (site, http):
        for _ in range(2):
            assert (await get(http, f"http://{site.place}/")).status == 200
        assert all("cookie" not in request.headers for request in site.requests)
        assert len({request.client for request in site.requests}) == 1  # the connection was kept


@pytest.mark.parametrize("size", [0, 1, MAX_BYTES])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_answers_up_to_the_cap_are_read(size: int, encoding: str) -> None:
    body = b"x" * size if encoding == "identity" else gzip.compress(b"x" * size, mtime=0)
    async with serving(Response(body, headers={"content-encoding": encoding})) as (site, http):
        assert (await get(http, f"http://{site.place}/")).body == b"x" * size


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_larger_answers_are_not(encoding: str) -> None:
    body = b"x" * (MAX_BYTES + 1) if encoding == "identity" else gzip.compress(b"x" * (MAX_BYTES + 1))
    async with serving(Response(body, headers={"content-encoding": encoding})) as (site, http):
        assert (await failing(http, f"http://{site.place}/")).kind == "too_large"


async def test_an_answer_without_end_is_cut_off() -> None:
    async def answer(_: Request) -> Response:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 65536
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(endless())

    async with serving(answer) as (site, http):
        assert (await failing(http, f"http://{site.place}/")).kind == "too_large"


async def test_a_gzip_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(2**20)) for _ in range(64)), packer.flush()])
    async with serving(Response(bomb, headers={"content-encoding": "gzip"})) as (site, http):
        await http.start()
        tracemalloc.start()
        try:
            assert (await failing(http, f"http://{site.place}/")).kind == "too_large"
            assert tracemalloc.get_traced_memory()[1] < 8 * MAX_BYTES
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"hello" * 100, mtime=0)[:-9], "gzip"),
        (gzip.compress(b"hello", mtime=0) + b"more", "gzip"),
        (b"hello", "gzip"),
        (b"hello", "br"),
        (gzip.compress(gzip.compress(b"hello", mtime=0), mtime=0), "gzip, gzip"),
    ],
    ids=["cut off", "more behind it", "not packed", "another packing", "packed twice"],
)
async def test_what_cannot_be_unpacked(body: bytes, encoding: str) -> None:
    async with serving(Response(body, headers={"content-encoding": encoding})) as (site, http):
        assert (await failing(http, f"http://{site.place}/")).kind == "broken"


async def drip(_: Request) -> Response:
    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await anyio.sleep(0.01)

    return StreamingResponse(drops())


async def silence(_: Request) -> Response:
    await anyio.sleep(0.5)
    return PlainTextResponse("late")


@pytest.mark.parametrize("answer", [drip, silence])
async def test_one_deadline_holds_for_everything(answer: Answer) -> None:
    async with serving(answer) as (site, http):
        before = anyio.current_time()
        assert (await failing(http, f"http://{site.place}/", timeout_s=0.2)).kind == "timeout"
        assert anyio.current_time() - before < 1.0


async def test_the_deadline_holds_for_a_name_server_too() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await anyio.sleep_forever()
        return []

    http = SafeHttp(resolve=resolve)
    assert (await failing(http, "http://api.example.com/", timeout_s=0.1)).kind == "timeout"
    await http.aclose()


async def test_a_client_is_of_use_after_requests_that_were_given_up() -> None:
    came: list[str] = []
    all_came = anyio.Event()

    async def answer(request: Request) -> Response:
        came.append(request.url.path)
        if len(came) == 20:
            all_came.set()
        if request.url.path == "/again":
            return PlainTextResponse("hello")
        return await (silence if request.url.path == "/silence" else drip)(request)

    async with serving(answer) as (site, http):
        async with anyio.create_task_group() as tasks:
            for path in ("silence", "drip") * 10:
                tasks.start_soon(get, http, f"http://{site.place}/{path}")
            with anyio.fail_after(5):
                await all_came.wait()
            tasks.cancel_scope.cancel()
        assert (await get(http, f"http://{site.place}/again")).value() == "hello"


async def test_nobody_there_and_no_such_name() -> None:
    async with serving(PlainTextResponse("")) as (site, _):
        place = site.place
    http = SafeHttp(allow_hosts=[place])
    assert (await failing(http, f"http://{place}/")).kind == "connect"
    assert (await failing(SafeHttp(resolve=Names([])), "http://nobody.example/")).kind == "connect"
    assert (await failing(SafeHttp(), "http://nobody.example/")).kind == "connect"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"",
    ],
)
async def test_answers_that_break_off(answer: bytes) -> None:
    async def talk(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer) if answer else None

    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(await anyio.create_tcp_listener(local_host="127.0.0.1"))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(listener.serve, talk)
        place = f"127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        failure = await failing(SafeHttp(allow_hosts=[place]), f"http://{place}/")
        assert failure.kind == "broken"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "header",
    [
        *(("Host", "other"), ("content-length", "1"), ("Transfer-Encoding", "chunked"), ("X Y", "1"), ("", "1")),
        *(("X-A", "a\r\nX-B: c"), ("X-A", "\0"), ("X-A", "\ud800"), ("Connection", "upgrade")),
    ],
)
async def test_headers_that_are_not_sent(header: tuple[str, str]) -> None:
    network = Network(1)
    http = SafeHttp(resolve=Names([PUBLIC]), network=network)
    assert (await failing(http, "http://api.example.com/", header)).kind == "refused"
    assert network.dialled == []


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": [1, null]}', "application/json", {"a": [1, None]}),
        (b'"text"', "text/plain", "text"),
        (b"", "application/json", None),
        (b" \r\n", "text/plain", None),
        (b'{"a": NaN}', "application/json", '{"a": NaN}'),
        (b"[" * 100_000, "application/json", "[" * 100_000),
        ("Grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", "Grüße"),
        ("Grüße".encode(), "text/html", "Grüße"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"hello", "text/plain; charset=zlib", "hello"),
        (b"hello", 'text/plain; charset="no-such"', "hello"),
    ],
)
def test_the_value_of_an_answer(body: bytes, content_type: str, value: Any) -> None:
    assert HttpAnswer(200, {"content-type": content_type}, body).value() == value


async def test_what_is_sent_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(PlainTextResponse("hello")) as (site, http):
        request = HttpRequest("POST", f"http://{site.place}/hush-1?q=hush-2", (("X-Key", "hush-3"),), b"hush-4")
        assert (await http.request(request, timeout_s=5)).status == 200
        failure = await failing(http, f"http://{site.place}:x/hush-5")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert ours
    assert "hush" not in "".join([*ours, repr(request), str(failure)])

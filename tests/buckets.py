"""A bucket of moto's S3 server for a test, and faults that its server injects.

Workers and commands of the test reach the bucket by a server that can be slow, refuse,
or cut connections. The test itself looks at it by `Bucket.store`, past these faults.
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import obstore
from moto.server import DomainDispatcherApplication, create_backend_app
from obstore.store import S3Store
from werkzeug.serving import make_server

#: What the processes of a test have in their environment.
KEY_ID = "AKIATESTSONLY0000000"
SECRET = "tests/only/secret+that+no+log+may+show00"  # noqa: S105
REGION = "us-east-1"
READS = ("GET", "HEAD")
WRITES = ("PUT", "POST", "DELETE")

_BODY = "<Error><Code>{code}</Code><Message>injected by a test</Message></Error>"

Answer = Iterable[bytes]
Start = Callable[..., Any]
Request = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to some requests.

    Attributes:
        status: Status line of the answer; "" for a connection that is cut, amid the
            answer if that has a body.
        code: S3's name of the error.
        methods: Those of the requests.
        every: It happens to each n-th of them.
        times: It happens so often; None for no limit.
        is_done: Whether a write takes effect, and only the answer gets lost.
    """

    status: str = ""
    code: str = ""
    methods: tuple[str, ...] = READS + WRITES
    every: int = 1
    times: int | None = None
    is_done: bool = False


BROKEN = Fault(status="500 Internal Server Error", code="InternalError")
BUSY = Fault(status="503 Slow Down", code="SlowDown")
GONE = Fault(status="404 Not Found", code="NoSuchBucket")
DENIED = Fault(status="403 Forbidden", code="AccessDenied")
#: Cut before anything is done, and once it is done.
CUT = Fault()
ANSWER_LOST = Fault(is_done=True)


@dataclass(slots=True)
class _Live:
    """A fault, and what became of it."""

    fault: Fault
    asked: int = 0
    happened: int = 0

    def happens(self, method: str) -> bool:
        fault = self.fault
        if method not in fault.methods or self.happened == fault.times:
            return False
        self.asked += 1
        if self.asked % fault.every:
            return False
        self.happened += 1
        return True


@dataclass(slots=True)
class FaultyServer:
    """moto's S3 as a WSGI application, with latency and faults.

    Attributes:
        latency_s: How long each answer takes at least.
        requests: How many came, by method.
        most_at_once: How many were in hand at the same time, at most.
    """

    app: Callable[[Request, Start], Answer]
    latency_s: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    _in_hand: int = 0
    _live: list[_Live] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, fault: Fault, **changes: Any) -> None:
        """Have a fault happen from now on, changed as the keywords say."""
        with self._lock:
            self._live.append(_Live(replace(fault, **changes)))

    def happened(self) -> int:
        """Return how often the faults that are injected happened."""
        with self._lock:
            return sum(live.happened for live in self._live)

    def mend(self) -> None:
        """End all faults."""
        with self._lock:
            self._live.clear()

    def reset(self) -> None:
        """Be as at first."""
        self.mend()
        self.latency_s, self.requests, self.most_at_once = 0.0, Counter(), 0

    def __call__(self, request: Request, start: Start) -> Answer:
        """Answer a request, or have a fault happen to it."""
        fault = self._begin(request["REQUEST_METHOD"])
        try:
            time.sleep(self.latency_s)
            return self._answer(fault, request, start)
        finally:
            with self._lock:
                self._in_hand -= 1

    def _begin(self, method: str) -> Fault | None:
        with self._lock:
            self._in_hand += 1
            self.most_at_once = max(self.most_at_once, self._in_hand)
            self.requests[method] += 1
            return next((o.fault for o in self._live if o.happens(method)), None)

    def _answer(self, fault: Fault | None, request: Request, start: Start) -> Answer:
        if fault is None:
            return self.app(request, start)
        if not fault.status:
            return self._cut(fault, request, start)
        _read_all(request)
        body = b""
        if request["REQUEST_METHOD"] != "HEAD":
            body = _BODY.format(code=fault.code).encode()
        headers = [("Content-Type", "application/xml")]
        start(fault.status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _cut(self, fault: Fault, request: Request, start: Start) -> Iterator[bytes]:
        """Send half of what was asked for, or no answer to a write; then close."""
        if request["REQUEST_METHOD"] in READS:
            body = b"".join(self.app(request, start))
            yield body[: len(body) // 2]
        elif fault.is_done:
            b"".join(self.app(request, lambda *_: None))
        else:
            _read_all(request)
        connection: socket.socket = request["werkzeug.socket"]
        connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


def _read_all(request: Request) -> None:
    """Read what a request brings: a connection with unread bytes would be reset."""
    request["wsgi.input"].read(int(request.get("CONTENT_LENGTH") or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket of the test's own, with nothing in it.

    Attributes:
        name: Of the bucket.
        endpoint: URL of the server that injects faults.
        server: That server.
        store: The place below the prefix, past the faults.
    """

    name: str
    endpoint: str
    server: FaultyServer
    store: S3Store

    PREFIX = "night"

    @property
    def url(self) -> str:
        """What `NIGHTSWEEP_IMAGES` is to be."""
        return f"s3://{self.name}/{self.PREFIX}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of processes that use the bucket."""
        return {
            "NIGHTSWEEP_IMAGES": self.url,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
        }

    def names(self, suffix: str = "") -> list[str]:
        """Return the names of all objects below the prefix, in order."""
        found = obstore.list(self.store).collect()
        return sorted(one["path"] for one in found if one["path"].endswith(suffix))

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        return bytes(obstore.get(self.store, name).bytes())

    def write(self, name: str, content: bytes) -> None:
        """Write or overwrite an object."""
        obstore.put(self.store, name, content)

    def remove(self, *names: str) -> None:
        """Delete objects."""
        obstore.delete(self.store, list(names))


@contextmanager
def serving(app: Callable[..., Answer]) -> Iterator[str]:
    """Serve a WSGI application from threads; yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class BucketServer:
    """moto's S3 behind two doors: a faulty one, and one for the test itself."""

    faulty: FaultyServer
    faulty_url: str
    plain_url: str

    def make_bucket(self) -> Bucket:
        """Make a bucket, and mend all faults."""
        self.faulty.reset()
        name = f"pictures-{uuid4().hex[:12]}"
        _create(self.plain_url, name)
        return Bucket(
            name=name,
            endpoint=self.faulty_url,
            server=self.faulty,
            store=_open(self.plain_url, name, prefix=Bucket.PREFIX),
        )


@contextmanager
def bucket_server() -> Iterator[BucketServer]:
    """Serve buckets; they are in the memory of this process."""
    app = DomainDispatcherApplication(create_backend_app)
    faulty = FaultyServer(app)
    with serving(app) as plain_url, serving(faulty) as faulty_url:
        yield BucketServer(faulty, faulty_url, plain_url)


def _open(endpoint: str, name: str, *, prefix: str | None = None) -> S3Store:
    return S3Store(
        name,
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        client_options={"allow_http": True},
    )


def _create(endpoint: str, name: str) -> None:
    """Make a bucket, for which obstore has no call."""
    # Imported here: only this call needs it.
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name=REGION,
    )
    client.create_bucket(Bucket=name)
    client.close()

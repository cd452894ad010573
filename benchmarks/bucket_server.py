"""A bucket in memory that answers after a set time: what a benchmark needs of S3.

    python benchmarks/bucket_server.py [--latency-ms 30]

It prints its URL and serves until its standard input ends. moto, which the tests use,
needs 5 ms of the CPU for a put; this needs a twentieth. It checks no signatures, and
knows PUT (with `If-None-Match: *`), GET, HEAD, DELETE, the deletion of many and lists.
"""

import argparse
import asyncio
import sys
from bisect import bisect_right
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import md5
from itertools import islice
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

PAGE_NAMES = 1000
TEXTS = {200: "OK", 204: "No Content", 404: "Not Found", 412: "Precondition Failed"}
#: What is told of a request: method, path with its query, headers in small letters.
Request = tuple[str, str, dict[str, str]]
#: Status, headers, body.
Answer = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class Bucket:
    """All objects, each with its headers, by path: `/bucket/name`."""

    latency_s: float
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    _names: list[str] | None = None

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of a connection, one after another."""
        try:
            while True:
                request = parse(await reader.readuntil(b"\r\n\r\n"))
                length = int(request[2].get("content-length", 0))
                content = await reader.readexactly(length)
                await asyncio.sleep(self.latency_s)
                writer.write(render(self.answer(request, content)))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()  # the client has gone, or the server ends

    def answer(self, request: Request, content: bytes) -> Answer:
        """Do what a request asks for."""
        method, target, headers = request
        place = urlsplit(target)
        path, query = unquote(place.path), parse_qs(place.query, keep_blank_values=True)
        if method == "PUT":
            return self._put(path, content, headers)
        if method == "DELETE":
            return self._delete([path])
        if method == "POST" and "delete" in query:
            bucket = path.rstrip("/")
            root = ET.fromstring(content)  # noqa: S314 - from our own client
            names = [one.text for one in root.iter() if one.tag.endswith("Key")]
            self._delete([f"{bucket}/{name}" for name in names])
            done = (f"<Deleted><Key>{escape(str(o))}</Key></Deleted>" for o in names)
            return 200, {}, f"<DeleteResult>{''.join(done)}</DeleteResult>".encode()
        if "list-type" in query:
            return self._list(path.strip("/"), {k: v[0] for k, v in query.items()})
        return self._get(path, method)

    def _put(self, path: str, content: bytes, headers: dict[str, str]) -> Answer:
        if headers.get("if-none-match") == "*" and path in self.objects:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        if path not in self.objects:
            self._names = None
        kept = {k: v for k, v in headers.items() if k.startswith("x-amz-meta-")}
        tag = md5(content, usedforsecurity=False).hexdigest()
        kept |= {"etag": f'"{tag}"', "last-modified": formatdate(usegmt=True)}
        self.objects[path] = content, kept
        return 200, {"etag": kept["etag"]}, b""

    def _get(self, path: str, method: str) -> Answer:
        if path not in self.objects:
            return 404, {}, b"" if method == "HEAD" else _error("NoSuchKey")
        content, headers = self.objects[path]
        if method == "HEAD":
            return 200, headers | {"content-length": str(len(content))}, b""
        return 200, headers, content

    def _delete(self, paths: list[str]) -> Answer:
        self._names = None
        for path in paths:
            self.objects.pop(path, None)
        return 204, {}, b""

    def _list(self, bucket: str, query: dict[str, str]) -> Answer:
        if self._names is None:
            self._names = sorted(self.objects)
        start = f"/{bucket}/"
        prefix = start + query.get("prefix", "")
        after = start + query.get("continuation-token", query.get("start-after", ""))
        begin = bisect_right(self._names, max(after, prefix[:-1]))
        delimiter = query.get("delimiter")
        found, folders, last = [], [], ""
        for name in islice(self._names, begin, None):
            if not name.startswith(prefix) or len(found) + len(folders) == PAGE_NAMES:
                break
            last = name
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = name[: len(prefix) + rest.index(delimiter) + 1]
                if not folders or folders[-1] != folder:
                    folders.append(folder)
            else:
                found.append(name)
        is_cut = bool(last) and self._has_more(last, prefix)
        token = f"<NextContinuationToken>{escape(last[len(start) :])}"
        parts = [
            "<ListBucketResult>",
            f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>",
            f"{token}</NextContinuationToken>" if is_cut else "",
            *(self._entry(name, start) for name in found),
            *(
                f"<CommonPrefixes><Prefix>{escape(folder[len(start) :])}</Prefix>"
                "</CommonPrefixes>"
                for folder in folders
            ),
            "</ListBucketResult>",
        ]
        return 200, {"content-type": "application/xml"}, "".join(parts).encode()

    def _has_more(self, last: str, prefix: str) -> bool:
        names = self._names or []
        at = bisect_right(names, last)
        return at < len(names) and names[at].startswith(prefix)

    def _entry(self, name: str, start: str) -> str:
        content, headers = self.objects[name]
        return (
            f"<Contents><Key>{escape(name[len(start) :])}</Key>"
            f"<Size>{len(content)}</Size><ETag>{escape(headers['etag'])}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()


def parse(head: bytes) -> Request:
    """Return what the head of a request says."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return method, target, {name.lower(): value.strip() for name, value in pairs}


def render(answer: Answer) -> bytes:
    """Return an answer as it is sent."""
    status, headers, body = answer
    headers = {"content-length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} {TEXTS[status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=30)
    options = parser.parse_args()
    bucket = Bucket(options.latency_ms / 1000)
    server = await asyncio.start_server(bucket.serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())

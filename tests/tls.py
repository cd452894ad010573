"""TLS in front of a server that was built without it, as by stunnel.

Arguments: the port for clients, the port of the server, the file of the certificate,
and the file of its key.
"""

import asyncio
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

BLOCK = 1 << 16


async def terminate_tls(port: int, *, behind: int, context: ssl.SSLContext) -> None:
    """Forward TLS connections to the port `behind`, for ever."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):  # the server is away
            there, back = await asyncio.open_connection("127.0.0.1", behind)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        writer.close()

    server = await asyncio.start_server(serve, "localhost", port, ssl=context)
    await server.serve_forever()


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    _port, _behind, _certificate, _key = sys.argv[1:]
    _context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _context.load_cert_chain(_certificate, _key)
    asyncio.run(terminate_tls(int(_port), behind=int(_behind), context=_context))

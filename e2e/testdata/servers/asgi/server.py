import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = "hello from pid %d (%s/%s)\n" % (
        os.getpid(), os.environ["CLUSTERD_APP"], os.environ["CLUSTERD_INSTANCE"])
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body.encode()})
